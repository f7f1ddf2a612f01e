/** `fcgi2cgi completion`: the scripts by which shells complete its command line; yargs says what may come next. */

import type { Run } from './commands.js';
import { completionOptions, type shells } from './options/command-options.js';
import { readOptions } from './options/option.js';

/** yargs answers with a line for each word; in zsh, by what SHELL says, with `:` and a description after it. */
const scripts: Readonly<Record<(typeof shells)[number], string>> = {
  bash: `# bash completion for fcgi2cgi
_fcgi2cgi() {
  local words
  words=$(SHELL=bash ZSH_NAME='' fcgi2cgi --get-yargs-completions "\${COMP_WORDS[@]:0:COMP_CWORD}" '' 2> /dev/null)
  mapfile -t COMPREPLY < <(compgen -o default -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}")
}
complete -o bashdefault -o default -F _fcgi2cgi fcgi2cgi
`,
  zsh: `#compdef fcgi2cgi
_fcgi2cgi() {
  local -a replies
  replies=("\${(@f)$(SHELL=zsh fcgi2cgi --get-yargs-completions "\${(@)words[1,CURRENT-1]}" '' 2> /dev/null)}")
  _describe values replies || _files
}
if [ "$funcstack[1]" = _fcgi2cgi ]; then _fcgi2cgi "$@"; else compdef _fcgi2cgi fcgi2cgi; fi
`,
  fish: `# fish completion for fcgi2cgi
function __fcgi2cgi
  SHELL=zsh fcgi2cgi --get-yargs-completions (commandline --tokenize --cut-at-cursor --current-process) '' 2> /dev/null \\
    | string replace --regex ':' '\\t'
end
complete --command fcgi2cgi --arguments '(__fcgi2cgi)'
`,
};

export const runCompletion: Run = (given) => {
  process.stdout.write(scripts[readOptions(completionOptions, given).shell]);
  return Promise.resolve(undefined);
};
