/// `docker completion`: the script that a shell reads once.
struct CompletionCommand: Command {
    static let usage = "completion bash|zsh|fish"
    @Argument var shell: String

    func run(_ settings: Settings) throws(CLIError) {
        switch shell {
        case "bash": say(Self.bash)
        case "zsh": say(Self.zsh)
        case "fish": say(Self.fish)
        default: throw CLIError("unknown shell: \(shell): must be one of bash, zsh, fish")
        }
    }

    private static let bash = #"""
        # Completion of docker for bash: source <(docker completion bash)
        _docker() {
            local line=${COMP_LINE:0:COMP_POINT} current output directive prefix candidate
            local -a words candidates
            read -ra words <<< "$line"
            [[ $line == *[[:space:]] ]] && words+=("")
            current=${words[${#words[@]}-1]}
            COMPREPLY=()
            output=$("${words[0]}" __completeNoDesc "${words[@]:1}" 2> /dev/null) || return
            directive=${output##*:}
            mapfile -t candidates <<< "${output%:*}"
            # What bash takes for words ends at colons and equals signs: only what is behind the last one is replaced.
            prefix=${current%"${current##*[:=]}"}
            for candidate in "${candidates[@]}"; do
                [[ -n $candidate && $candidate == "$current"* ]] && COMPREPLY+=("${candidate#"$prefix"}")
            done
            if [[ $directive == 0 && ${#COMPREPLY[@]} == 0 ]]; then compopt -o default; fi
        }
        complete -F _docker docker
        """#

    private static let zsh = #"""
        #compdef docker
        # Completion of docker for zsh: source <(docker completion zsh)
        _docker() {
            local output line directive
            local -a lines candidates
            output=$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2> /dev/null)
            lines=("${(@f)output}")
            directive=${lines[-1]#:}
            for line in "${(@)lines[1,-2]}"; do
                candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
            done
            if (( ${#candidates} )); then
                _describe docker candidates
            elif [[ $directive == 0 ]]; then
                _files
            fi
        }
        if [[ ${funcstack[1]} == _docker ]]; then _docker "$@"; else compdef _docker docker; fi
        """#

    private static let fish = #"""
        # Completion of docker for fish: docker completion fish | source
        function __docker_complete
            set -l words (commandline -opc) (commandline -ct)
            set -l lines ($words[1] __complete $words[2..-1] 2> /dev/null)
            set -l directive $lines[-1]
            set -e lines[-1]
            if test (count $lines) -eq 0 -a "$directive" = ":0"
                __fish_complete_path (commandline -ct)
            else
                printf '%s\n' $lines
            end
        end
        complete -c docker -f -a '(__docker_complete)'
        """#
}
