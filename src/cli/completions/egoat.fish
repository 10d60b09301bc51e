# fish completion for egoat(1). The program itself says what may come next.

function __egoat_complete
    set -l words (commandline -opc)
    set -l last (commandline -ct)
    # The value of --opt=value is what the shell itself completes.
    set -l option (string match -r -- '^--[^=]*=' "$last"; or echo)
    set -l value (string replace -- "$option" '' "$last")
    for line in (egoat completions fish -- $words[2..-1] "$last" 2>/dev/null)
        switch $line
            case :files
                __fish_complete_path "$value" | string replace -r -- '^' "$option"
            case :dirs
                __fish_complete_directories "$value" | string replace -r -- '^' "$option"
            case :programs
                complete -C "$value" | string replace -r -- '^' "$option"
            case '*'
                echo $line
        end
    end
end

complete -c egoat -f -a '(__egoat_complete)'
