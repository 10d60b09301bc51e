# bash completion for egoat(1), for bash 4 and newer. The program itself says what may come next.

_egoat() {
    local line=${COMP_LINE:0:COMP_POINT} blanks word i
    local -a words=()
    # = : and @ part words for bash, but not for egoat: what no blank parts is put together again.
    for ((i = 0; i <= COMP_CWORD; i++)); do
        blanks=${line%%[![:blank:]]*}
        line=${line#"$blanks"}
        word=${COMP_WORDS[i]}
        ((i < COMP_CWORD)) || word=$line
        line=${line#"$word"}
        if [[ $i -eq 0 || $blanks ]]; then
            words+=("$word")
        else
            words[${#words[@]} - 1]+=$word
        fi
    done

    # bash replaces only what stands behind the last of them, and an @ with it.
    local last=${words[${#words[@]} - 1]} breaks=${COMP_WORDBREAKS//[^=:@]/} parted=
    [[ $breaks ]] && parted=${last%"${last##*[$breaks]}"}
    parted=${parted%@}
    # The value of --opt=value is what the shell itself completes.
    local option=
    [[ $last == --*=* ]] && option=${last%%=*}=

    COMPREPLY=()
    while IFS=$'\t' read -r word _; do
        case $word in
        :files) compopt -o default ;;
        :dirs) compopt -o dirnames ;;
        :programs)
            while read -r word; do
                word=$option$word
                COMPREPLY+=("${word#"$parted"}")
            done < <(compgen -c -- "${last#"$option"}")
            ;;
        "$last"*)
            COMPREPLY+=("${word#"$parted"}")
            [[ $word == *= ]] && compopt -o nospace
            ;;
        esac
    done < <(egoat completions bash -- "${words[@]:1}" 2>/dev/null)
}

complete -F _egoat egoat
