# Prints what bash offers for the last word of a line.
# Usage: bash complete.bash SCRIPT PROGRAM WORD...; the words begin with the program's.
source "$1"
function=_clap_complete_${2//-/_}
shift 2
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
COMP_TYPE=9
"$function" "$1" "${COMP_WORDS[COMP_CWORD]}" x
((${#COMPREPLY[@]} == 0)) || printf '%s\n' "${COMPREPLY[@]}"
