/** Each asks `gwctl __complete` for what may stand at the cursor; nothing in them depends on the commands that exist. */
export const completionScripts: Readonly<Record<'bash' | 'zsh' | 'fish', string>> = {
  bash: String.raw`# gwctl completion for bash
_gwctl() {
  local word summary
  COMPREPLY=()
  while IFS=$'\t' read -r word summary; do
    if [ "$word" = ":files" ]; then
      compopt -o default
      COMPREPLY=()
      return
    fi
    COMPREPLY+=("$word")
  done < <("$1" __complete --timeout=2s -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _gwctl gwctl
`.replaceAll('\\${', '${'),
  zsh: String.raw`#compdef gwctl
# gwctl completion for zsh
_gwctl() {
  local -a candidates
  local line word summary
  while IFS= read -r line; do
    if [[ $line == ":files" ]]; then
      _files
      return
    fi
    word=\${line%%$'\t'*}
    summary=\${line#*$'\t'}
    candidates+=("\${word//:/\\:}\${summary:+:$summary}")
  done < <(gwctl __complete --timeout=2s -- "\${(@)words[2,CURRENT]}" 2>/dev/null)
  _describe gwctl candidates
}
if [ "$funcstack[1]" = "_gwctl" ]; then
  _gwctl
else
  compdef _gwctl gwctl
fi
`.replaceAll('\\${', '${'),
  fish: String.raw`# gwctl completion for fish
function __gwctl_complete
  set -l before (commandline -opc)
  set -l lines (gwctl __complete --timeout=2s -- $before[2..] (commandline -ct) 2>/dev/null)
  if test "$lines[1]" = ":files"
    __fish_complete_path (commandline -ct)
  else
    printf '%s\n' $lines
  end
end
complete -c gwctl -f -a '(__gwctl_complete)'
`,
};
