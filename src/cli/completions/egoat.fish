# fish completion for egoat(1). The program itself says what may come next.

function __egoat_complete
    set -l words (commandline -opc)
    set -l last (commandline -ct)
    for line in (egoat completions fish -- $words[2..-1] "$last" 2>/dev/null)
        switch $line
            case :files
                __fish_complete_path "$last"
            case :dirs
                __fish_complete_directories "$last"
            case :programs
                complete -C "$last"
            case '*'
                echo $line
        end
    end
end

complete -c egoat -f -a '(__egoat_complete)'
