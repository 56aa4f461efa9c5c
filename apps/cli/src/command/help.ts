import type { AnyOption, Argument, Command } from './definition.js';
import { flagOf } from './definition.js';
import { commonOptionsOf } from './globals.js';
import { type Group, visible } from './tree.js';

/** Help of one command. */
export function commandHelp(command: Command): string {
  const args = Object.values(command.args);
  const own = command.options;
  const common = commonOptionsOf(command);
  const needed = Object.entries(own).flatMap(([key, o]) => (isNeeded(o) ? [`${flagOf(key)} ${o.placeholder}`] : []));
  const optional = Object.values(own).every(isNeeded) ? [] : ['[flags]'];
  const usage = ['gwctl', command.path, ...args.map(argumentText), ...needed, ...optional].join(' ');
  return blocks([
    [`${command.summary}.`, ...(command.description ? ['', ...wrap(command.description, 100)] : [])],
    ['Usage:', `  ${usage}`],
    section(
      'Arguments:',
      args.map((a) => [a.placeholder, a.summary]),
    ),
    section('Flags:', Object.entries(own).map(optionLine)),
    section('Common flags:', Object.entries(common).map(optionLine)),
    command.examples.length > 0
      ? ['Examples:', ...command.examples.flatMap((e, i) => [...(i > 0 ? [''] : []), `  # ${e.says}`, `  ${e.command}`])]
      : [],
  ]);
}

/** Help of gwctl itself or of a group of commands. */
export async function groupHelp(root: Group, path: readonly string[], group: Group): Promise<string> {
  const entries = await Promise.all(
    visible(group).map(
      async ([name, node]): Promise<[string, string]> => [
        name,
        node.kind === 'group' ? node.summary : (await node.load()).summary,
      ],
    ),
  );
  const prefix = ['gwctl', ...path].join(' ');
  return blocks([
    [`${group.summary}.`],
    ['Usage:', `  ${prefix} COMMAND`],
    section('Commands:', entries),
    group === root
      ? [
          'First steps:',
          '  gwctl login --server HOST:PORT --ca FILE --token-file FILE',
          '  gwctl gateway add gw1',
          '  gwctl forward add web --gateway gw1 --listen 8080 --target 192.168.2.10:80 --wait',
          '',
          'Exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 not allowed, 5 conflict, 6 wait timed out, 7 partly done, 130 interrupted',
        ]
      : [],
    [`"${prefix} COMMAND --help" says more about a command.`],
  ]);
}

const isNeeded = (o: AnyOption): o is Extract<AnyOption, { placeholder: string }> =>
  o.kind === 'required' || (o.kind === 'list' && o.required === true);

function argumentText(a: Argument<unknown>): string {
  return a.kind === 'one' ? a.placeholder : a.kind === 'many' ? `${a.placeholder}...` : `[${a.placeholder}]`;
}

function optionLine([key, o]: [string, AnyOption]): [string, string] {
  const short = o.short ? `-${o.short}, ` : '';
  const name = flagOf(key);
  const text = {
    value: () => `${name} ${placeholder(o)}`,
    required: () => `${name} ${placeholder(o)}`,
    list: () => `${name} ${placeholder(o)}`,
    implied: () => `${name}[=${placeholder(o)}]`,
    switch: () => name,
    toggle: () => `--[no-]${name.slice(2)}`,
  }[o.kind]();
  return [`${short}${text}`, o.kind === 'list' ? `${o.summary} (repeatable)` : o.summary];
}

const placeholder = (o: AnyOption): string => ('placeholder' in o ? o.placeholder : '');

function section(title: string, rows: readonly (readonly [string, string])[]): string[] {
  if (rows.length === 0) return [];
  const width = Math.min(30, Math.max(...rows.map(([left]) => left.length)));
  return [
    title,
    ...rows.flatMap(([left, right]) => {
      const [first = '', ...more] = wrap(right, 100 - width);
      const indented = more.map((line) => `${' '.repeat(width + 4)}${line}`);
      return left.length > width
        ? [`  ${left}`, `${' '.repeat(width + 4)}${first}`, ...indented]
        : [`  ${left.padEnd(width)}  ${first}`, ...indented];
    }),
  ];
}

const blocks = (parts: readonly (readonly string[])[]): string =>
  `${parts
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n')}\n`;

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
