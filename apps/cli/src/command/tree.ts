import type { Command } from './definition.js';

/** The path is the command: groups hold verbs, a leaf loads one definition when it is needed. */
export interface Group {
  readonly kind: 'group';
  readonly summary: string;
  readonly children: Readonly<Record<string, Node>>;
}

export interface Leaf {
  readonly kind: 'leaf';
  /** For programs, not for people: left out of help and completion. */
  readonly hidden: boolean;
  readonly load: () => Promise<Command>;
}

export type Node = Group | Leaf;

export const group = (summary: string, children: Readonly<Record<string, Node>>): Group => ({ kind: 'group', summary, children });
export const leaf = (load: () => Promise<Command>): Leaf => ({ kind: 'leaf', hidden: false, load });
export const hiddenLeaf = (load: () => Promise<Command>): Leaf => ({ kind: 'leaf', hidden: true, load });

/** The visible children by name, in the order in which they are listed. */
export const visible = (g: Group): [string, Node][] =>
  Object.entries(g.children).filter(([, n]) => n.kind === 'group' || !n.hidden);

export interface Resolved {
  readonly node: Node;
  /** Words that led here. */
  readonly path: readonly string[];
  /** What is left for the command: options that stood before it, then all that follows. */
  readonly rest: readonly string[];
}

/** A word where a command was expected. */
export interface Unknown {
  readonly unknown: string;
  readonly path: readonly string[];
  readonly group: Group;
}

/**
 * Walks the words of a command line down to a command or a group. `takesValue` tells of an option before the command whether the
 * next word is its value.
 */
export function resolve(root: Group, argv: readonly string[], takesValue: (option: string) => boolean): Resolved | Unknown {
  let node: Node = root;
  const path: string[] = [];
  const before: string[] = [];
  let i = 0;
  for (; i < argv.length && node.kind === 'group'; i++) {
    const word = argv[i] ?? '';
    if (word.startsWith('-')) {
      before.push(word);
      const next = argv[i + 1];
      if (takesValue(word) && next !== undefined) {
        before.push(next);
        i += 1;
      }
      continue;
    }
    const child: Node | undefined = Object.hasOwn(node.children, word) ? node.children[word] : undefined;
    if (!child) return { unknown: word, path, group: node };
    node = child;
    path.push(word);
  }
  return { node, path, rest: [...before, ...argv.slice(i)] };
}
