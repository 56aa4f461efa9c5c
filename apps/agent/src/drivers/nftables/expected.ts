import type { Expected } from './listing.js';
import { eachElement, type Rendered } from './render.js';
import { FAMILIES, type SetSpec } from './sets.js';

/** What a rendering has in each set. */
export function expectedOf(rendered: Rendered): Expected {
  const sets = new Map<SetSpec, Map<string, string>>();
  let size = 0;
  for (const family of FAMILIES) {
    eachElement(rendered, family, ({ set, key, suffix }) => {
      const there = sets.get(set);
      if (there) there.set(key, suffix);
      else sets.set(set, new Map([[key, suffix]]));
      size++;
    });
  }
  return {
    size,
    take: (set) => {
      const one = sets.get(set);
      sets.delete(set);
      return one;
    },
  };
}
