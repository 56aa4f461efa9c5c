/** An item of a list that is kept in order of uid. */
export interface Item {
  readonly uid: string;
}

/** A list in order of uid, each uid once, as far as most need to know it: an array is one, too. */
export interface Listed<T> extends Iterable<T> {
  readonly length: number;
  map<U>(f: (item: T, index: number) => U): U[];
  flatMap<U>(f: (item: T, index: number) => U | readonly U[]): U[];
  filter(f: (item: T) => boolean): T[];
  find(f: (item: T) => boolean): T | undefined;
  some(f: (item: T) => boolean): boolean;
}

/** What went and what came between two lists in order of uid, in that order; one that changed is in both. */
export interface Changes<T> {
  readonly gone: readonly T[];
  readonly come: readonly T[];
}

/** Items in one piece, when a list is made of many. */
const PIECE = 128;
/** A larger piece is split, a smaller one joins its neighbour. */
const MOST = 2 * PIECE;
const FEWEST = PIECE / 4;

type Piece<T> = readonly T[];

/**
 * An immutable list in order of uid, each uid once, made of pieces: a list that differs in one item from another shares all pieces with
 * it but one. So a change among tens of thousands copies some hundred references, and finding out what differs between two lists
 * looks at no piece that both have.
 */
export class SortedList<T extends Item> implements Listed<T> {
  readonly length: number;
  readonly #pieces: readonly Piece<T>[];

  private constructor(pieces: readonly Piece<T>[], length: number) {
    this.#pieces = pieces;
    this.length = length;
  }

  static empty<T extends Item>(): SortedList<T> {
    return new SortedList<T>([], 0);
  }

  /** `items` in order of uid, each uid once. A list that is one already stays the same object. */
  static from<T extends Item>(items: Listed<T>): SortedList<T> {
    if (items instanceof SortedList) return items;
    const pieces: Piece<T>[] = [];
    addPieces(pieces, Array.isArray(items) ? items : [...items]);
    return new SortedList(pieces, items.length);
  }

  /** The pieces of a list, for comparing by reference. An array is a single one. */
  static pieces<T extends Item>(items: Listed<T>): readonly Piece<T>[] {
    if (items instanceof SortedList) return items.#pieces;
    return items.length === 0 ? [] : [Array.isArray(items) ? items : [...items]];
  }

  get first(): T | undefined {
    return this.#pieces[0]?.[0];
  }

  get(uid: string): T | undefined {
    // The last piece that does not begin behind it.
    let low = 0;
    let high = this.#pieces.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (firstUid(this.#pieces[middle]) <= uid) low = middle;
      else high = middle - 1;
    }
    const piece = this.#pieces[low];
    if (!piece) return undefined;
    const found = piece[indexOf(piece, uid)];
    return found?.uid === uid ? found : undefined;
  }

  has(uid: string): boolean {
    return this.get(uid) !== undefined;
  }

  /** Without those with the uids of `gone`, and with those of `come`, each in the place of the one with its uid. In any order. */
  with({ gone, come }: { readonly gone: readonly Item[]; readonly come: readonly T[] }): SortedList<T> {
    if (gone.length === 0 && come.length === 0) return this;
    if (this.length === 0) return come.length === 0 ? this : SortedList.from(ascending(come));
    const edits = inOrder<T>(gone, come);
    const pieces: Piece<T>[] = [];
    let length = 0;
    let same = true;
    let at = 0;
    for (let i = 0; i < Math.max(1, this.#pieces.length); i++) {
      const piece = this.#pieces[i] ?? [];
      const next = this.#pieces[i + 1]?.[0]?.uid;
      const from = at;
      while (at < edits.length && (next === undefined || (edits[at] as Edit<T>).uid < next)) at++;
      const now = from === at ? piece : edited(piece, edits.slice(from, at));
      length += now.length;
      same &&= now === piece;
      if (now === piece && piece.length > 0) pieces.push(piece);
      else addPieces(pieces, now);
    }
    return same ? this : new SortedList(pieces, length);
  }

  *[Symbol.iterator](): Generator<T> {
    for (const piece of this.#pieces) yield* piece;
  }

  map<U>(f: (item: T, index: number) => U): U[] {
    let index = 0;
    return this.#pieces.flatMap((piece) => piece.map((item) => f(item, index++)));
  }

  flatMap<U>(f: (item: T, index: number) => U | readonly U[]): U[] {
    let index = 0;
    return this.#pieces.flatMap((piece) => piece.flatMap((item) => f(item, index++)));
  }

  filter(f: (item: T) => boolean): T[] {
    return this.#pieces.flatMap((piece) => piece.filter((item) => f(item)));
  }

  find(f: (item: T) => boolean): T | undefined {
    for (const piece of this.#pieces) {
      const found = piece.find((item) => f(item));
      if (found) return found;
    }
    return undefined;
  }

  some(f: (item: T) => boolean): boolean {
    return this.#pieces.some((piece) => piece.some((item) => f(item)));
  }
}

/** Compares by reference: the same object is no change. */
export function changesOf<T extends Item>(before: Listed<T>, now: Listed<T>): Changes<T> {
  const gone: T[] = [];
  const come: T[] = [];
  if (before === now) return { gone, come };
  // Everything is new: there is nothing to compare.
  if (before.length === 0) return { gone, come: [...now] };
  if (now.length === 0) return { gone: [...before], come };
  const [a, b] = [new Cursor(SortedList.pieces(before)), new Cursor(SortedList.pieces(now))];
  for (;;) {
    const [was, is] = [a.item, b.item];
    if (was === undefined && is === undefined) return { gone, come };
    if (was === is) {
      if (a.piece === b.piece && a.startsPiece && b.startsPiece) {
        a.skip();
        b.skip();
      } else {
        a.advance();
        b.advance();
      }
    } else if (was && (!is || was.uid <= is.uid)) {
      gone.push(was);
      a.advance();
    } else if (is) {
      come.push(is);
      b.advance();
    }
  }
}

/** What is made of each item of a list, one of each: `before` for `from`, and of what differs since then the new ones' own. */
export function derived<T extends Item, D extends Item>(
  before: SortedList<D>,
  { gone, come }: Changes<T>,
  make: (item: T) => D,
): SortedList<D> {
  return before.with({ gone, come: come.map(make) });
}

/** Where somebody is who walks a list. */
class Cursor<T> {
  #at = 0;
  #index = 0;
  readonly #pieces: readonly Piece<T>[];

  constructor(pieces: readonly Piece<T>[]) {
    this.#pieces = pieces;
  }

  get item(): T | undefined {
    return this.#pieces[this.#at]?.[this.#index];
  }

  get piece(): Piece<T> | undefined {
    return this.#pieces[this.#at];
  }

  get startsPiece(): boolean {
    return this.#index === 0;
  }

  advance(): void {
    this.#index++;
    if (this.#index === this.piece?.length) this.skip();
  }

  skip(): void {
    this.#at++;
    this.#index = 0;
  }
}

interface Edit<T> {
  readonly uid: string;
  readonly item: T | undefined;
}

/** Each uid once; what comes is stronger than what goes. */
function inOrder<T extends Item>(gone: readonly Item[], come: readonly T[]): Edit<T>[] {
  const [going, coming] = [ascending(gone), ascending(come)];
  const edits: Edit<T>[] = [];
  let i = 0;
  for (const item of coming) {
    const { uid } = item;
    for (; i < going.length && uidAt(going, i) < uid; i++) edits.push({ uid: uidAt(going, i), item: undefined });
    while (i < going.length && uidAt(going, i) === uid) i++;
    edits.push({ uid, item });
  }
  for (; i < going.length; i++) edits.push({ uid: uidAt(going, i), item: undefined });
  return edits;
}

/** In order of uid, each once: the last one that was named. The same list where it is in order. */
function ascending<T extends Item>(items: readonly T[]): readonly T[] {
  let at = 1;
  while (at < items.length && uidAt(items, at - 1) < uidAt(items, at)) at++;
  if (at >= items.length) return items;
  return [...new Map(items.map((item) => [item.uid, item])).values()].sort((a, b) => (a.uid < b.uid ? -1 : 1));
}

const uidAt = (items: readonly Item[], at: number): string => items[at]?.uid ?? '';

/** The same piece where nothing differs. */
function edited<T extends Item>(piece: Piece<T>, edits: readonly Edit<T>[]): Piece<T> {
  const now: T[] = [];
  let same = true;
  let at = 0;
  for (const { uid, item } of edits) {
    for (; at < piece.length && (piece[at] as T).uid < uid; at++) now.push(piece[at] as T);
    const old = piece[at]?.uid === uid ? piece[at++] : undefined;
    same &&= old === item;
    if (item) now.push(item);
  }
  if (same) return piece;
  for (; at < piece.length; at++) now.push(piece[at] as T);
  return now;
}

/** Adds items that follow all there are, in pieces of a good size. */
function addPieces<T>(pieces: Piece<T>[], items: Piece<T>): void {
  const last = pieces.at(-1);
  if (last && items.length > 0 && items.length < FEWEST && last.length + items.length <= MOST) {
    pieces[pieces.length - 1] = [...last, ...items];
    return;
  }
  if (items.length > 0 && items.length <= MOST) pieces.push(items.slice());
  else for (let at = 0; at < items.length; at += PIECE) pieces.push(items.slice(at, at + PIECE));
}

const firstUid = (piece: Piece<Item> | undefined): string => piece?.[0]?.uid ?? '';

/** Where `uid` is, or would be. */
function indexOf<T extends Item>(piece: Piece<T>, uid: string): number {
  let low = 0;
  let high = piece.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((piece[middle] as T).uid < uid) low = middle + 1;
    else high = middle;
  }
  return low;
}
