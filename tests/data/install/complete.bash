# complete.bash SCRIPT WORD...: sources the completion script, and prints what bash would offer for the last word, a
# line each, having asked whatever function the script names for the first.
source "$1"
shift
spec=$(complete -p "$1")
[[ $spec =~ -F\ ([^ ]+) ]] || exit 1
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
# compopt is for the shell that asks, which is not here
"${BASH_REMATCH[1]}" "$1" "${COMP_WORDS[-1]}" "${COMP_WORDS[-2]}" 2> >(grep -v compopt >&2)
printf '%s\n' "${COMPREPLY[@]}"
