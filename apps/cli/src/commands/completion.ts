import { argument, defineCommand } from '../command/definition.js';
import { parseChoice } from '../flags/choice.js';
import { completionScripts } from '../output/completion-scripts.js';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

export const completion = defineCommand({
  path: 'completion',
  summary: 'Print a script that completes gwctl in a shell',
  description:
    'The script asks gwctl itself at each press of the key, so that it knows every command, flag and name, and never goes stale.',
  args: {
    shell: argument({
      placeholder: SHELLS.join('|'),
      summary: 'The shell',
      parse: parseChoice(SHELLS, 'a shell that is known'),
      complete: SHELLS,
    }),
  },
  options: {},
  formats: [],
  connects: false,
  examples: [
    { says: 'bash, now', command: 'source <(gwctl completion bash)' },
    { says: 'zsh, for good', command: 'gwctl completion zsh > ~/.zfunc/_gwctl' },
    { says: 'fish, for good', command: 'gwctl completion fish > ~/.config/fish/completions/gwctl.fish' },
  ],
  async run(context, { args }) {
    context.printDocument(completionScripts[args.shell]);
  },
});
