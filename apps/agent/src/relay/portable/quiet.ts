/** Turns of the event loop in which nothing came, after which nothing waits in the kernel; and those after which it is enough all the same. */
const QUIET = 3;
const MOST_TURNS = 8_192;

/** Resolves once what waits at a socket was taken, as `count` of what came tells: libuv takes some of it in each turn, of its own accord. */
export async function untilQuiet(count: () => number): Promise<void> {
  for (let turn = 0, quiet = 0; quiet < QUIET && turn < MOST_TURNS; turn++) {
    const before = count();
    await new Promise((resolve) => setImmediate(resolve));
    quiet = count() === before ? quiet + 1 : 0;
  }
}
