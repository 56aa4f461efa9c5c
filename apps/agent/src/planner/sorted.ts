/** Puts an item into a list in order of uid, in the place of the one with its uid, or takes that one away. */
export function put<T extends { readonly uid: string }>(list: T[], uid: string, item: T | undefined): void {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((list[middle] as T).uid < uid) low = middle + 1;
    else high = middle;
  }
  const there = list[low]?.uid === uid;
  if (there && item) list[low] = item;
  else if (there || item) list.splice(low, there ? 1 : 0, ...(item ? [item] : []));
}

/** How many are the same objects at the beginning and at the end of two lists: of tens of thousands, as a rule, nearly all. */
export function sameEnds(a: readonly unknown[], b: readonly unknown[]): { readonly head: number; readonly tail: number } {
  const most = Math.min(a.length, b.length);
  let head = 0;
  while (head < most && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < most - head && a[a.length - 1 - tail] === b[b.length - 1 - tail]) tail++;
  return { head, tail };
}

/** What went and what came between two lists in order of uid, in that order; one that changed is in both. */
export interface Changes<T> {
  readonly gone: readonly T[];
  readonly come: readonly T[];
}

/** Compares by reference: the same object is no change. */
export function changesOf<T extends { readonly uid: string }>(before: readonly T[], now: readonly T[]): Changes<T> {
  const { head, tail } = sameEnds(before, now);
  const gone: T[] = [];
  const come: T[] = [];
  let [i, j] = [head, head];
  while (i < before.length - tail || j < now.length - tail) {
    const was = i < before.length - tail ? before[i] : undefined;
    const is = j < now.length - tail ? now[j] : undefined;
    if (was === is) {
      i++;
      j++;
    } else if (was && (!is || was.uid <= is.uid)) {
      gone.push(was);
      i++;
    } else if (is) {
      come.push(is);
      j++;
    }
  }
  return { gone, come };
}
