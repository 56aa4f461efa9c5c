import type { AnyOption, Command, Completion } from './definition.js';
import { flagOf } from './definition.js';
import { anywhereOptions, optionsOf } from './globals.js';
import { flagsOf, takesNextWord } from './parse.js';
import { type Group, resolve, visible } from './tree.js';

/** Something that may stand at the cursor. */
export interface Candidate {
  readonly word: string;
  readonly summary: string;
}

/** What may come next: candidates, or names of files, which the shell knows best. */
export type Offer = { readonly kind: 'words'; readonly candidates: readonly Candidate[] } | { readonly kind: 'files' };

/** Names that only the control plane or the config file knows. */
export type Names = (of: 'forwards' | 'egresses' | 'gateways' | 'contexts') => Promise<readonly string[]>;

/** What may stand in place of the last of `words`, by the definitions of the commands. */
export async function offer(root: Group, words: readonly string[], names: Names): Promise<Offer> {
  const cursor = words.at(-1) ?? '';
  const found = resolve(root, words.slice(0, -1), takesNextWord(anywhereOptions));
  if ('unknown' in found) return matching([], cursor);
  if (found.node.kind === 'leaf') return offerFor(await found.node.load(), found.rest, cursor, names);
  const awaited = flagsOf(anywhereOptions).get(words.at(-2) ?? '');
  if (awaited && !awaited.bare)
    return 'complete' in awaited.option ? values(awaited.option.complete, cursor, names) : matching([], cursor);
  if (cursor.startsWith('-')) return matching(flagCandidates(anywhereOptions), cursor);
  const children = visible(found.node).map(async ([word, node]) => ({
    word,
    summary: node.kind === 'group' ? node.summary : (await node.load()).summary,
  }));
  return matching(await Promise.all(children), cursor);
}

async function offerFor(command: Command, before: readonly string[], cursor: string, names: Names): Promise<Offer> {
  const options = optionsOf(command);
  const flags = flagsOf(options);
  let plain = 0;
  let awaited: AnyOption | undefined;
  const used = new Set<string>();
  let onlyWords = false;
  for (const word of before) {
    if (awaited) {
      awaited = undefined;
      continue;
    }
    if (onlyWords || !word.startsWith('-') || word === '-') plain += 1;
    else if (word === '--') onlyWords = true;
    else {
      const known = flags.get(word.startsWith('--') ? (word.split('=')[0] ?? '') : word.slice(0, 2));
      if (known && known.option.kind !== 'list') used.add(known.key);
      if (known && !known.bare && !word.includes('=')) awaited = known.option;
    }
  }
  if (awaited) return 'complete' in awaited ? values(awaited.complete, cursor, names) : matching([], cursor);
  if (!onlyWords && cursor.startsWith('-')) {
    const left = Object.fromEntries(Object.entries(options).filter(([key]) => !used.has(key)));
    return matching(flagCandidates(left), cursor);
  }
  const args = Object.values(command.args);
  const arg = args[plain] ?? (args.at(-1)?.kind === 'many' ? args.at(-1) : undefined);
  return values(arg?.complete, cursor, names);
}

async function values(completion: Completion | undefined, cursor: string, names: Names): Promise<Offer> {
  if (completion === 'files') return { kind: 'files' };
  if (completion === undefined) return matching([], cursor);
  const words = typeof completion === 'string' ? await names(completion) : completion;
  return matching(
    words.map((word) => ({ word, summary: '' })),
    cursor,
  );
}

function flagCandidates(options: Readonly<Record<string, AnyOption>>): Candidate[] {
  return Object.entries(options).flatMap(([key, o]) => {
    const word = flagOf(key);
    const off = o.kind === 'toggle' ? [{ word: `--no-${word.slice(2)}`, summary: `Not: ${o.summary}` }] : [];
    return [{ word, summary: o.summary }, ...off];
  });
}

const matching = (candidates: readonly Candidate[], cursor: string): Offer => ({
  kind: 'words',
  candidates: candidates.filter((c) => c.word.startsWith(cursor)),
});
