# Types a line and a Tab in an interactive zsh, and prints the line as it is then.
# Usage: zsh -f complete.zsh FOLDER LINE; the folder holds the completion functions.
zmodload zsh/zpty
zpty shell zsh -f -i
# The echo of these lines must not look like their output.
zpty -w shell "PROMPT='REA''DY> '; fpath=($1 \$fpath); autoload -U compinit; compinit -u -D"
zpty -w shell 'show() { print -r -- "LI""NE<$BUFFER>"; exit }; zle -N show; bindkey "^X" show; print LOAD""ED'
zpty -r shell output '*LOADED*READY> *'
zpty -w -n shell "$2"$'\t\x18'
zpty -r shell output '*LINE<*>*'
output=${output##*LINE<}
print -r -- "${output%%>*}"
zpty -d shell
