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
