import { isObject, type Json, type JsonObject, unreadable } from '../../system/nft-json.js';

/**
 * The objects of `nft -j`, each with its kind, taken apart one by one: a table of forty thousand forwards is 20 MB of text, and as a
 * whole ten times as many bytes of objects. Throws NFT_UNREADABLE for what is no such document.
 */
export function* eachObject(text: string): Generator<readonly [string, JsonObject]> {
  const head = /^\s*\{\s*"nftables"\s*:\s*\[/.exec(text);
  if (!head) throw unreadable(text);
  let at = head[0].length;
  for (;;) {
    at = skip(text, at);
    if (text[at] === ']') return;
    const end = endOfObject(text, at);
    if (end === undefined) throw unreadable(text.slice(at));
    const entry = parse(text.slice(at, end));
    const [kind, object] = isObject(entry) ? (Object.entries(entry)[0] ?? []) : [];
    if (kind === undefined || !isObject(object)) throw unreadable(text.slice(at, end));
    yield [kind, object];
    at = end;
  }
}

const QUOTE = 34;
const BACKSLASH = 92;
const [OPEN, CLOSE] = [123, 125];

/** Past blanks and commas. */
function skip(text: string, from: number): number {
  let at = from;
  while (/[\s,]/.test(text[at] ?? '')) at++;
  return at;
}

/** Behind the brace that closes the one at `from`; undefined where the text breaks off, or there is none. */
function endOfObject(text: string, from: number): number | undefined {
  if (text.charCodeAt(from) !== OPEN) return undefined;
  let depth = 0;
  let quoted = false;
  for (let at = from; at < text.length; at++) {
    const c = text.charCodeAt(at);
    if (quoted) {
      if (c === BACKSLASH) at++;
      else if (c === QUOTE) quoted = false;
    } else if (c === QUOTE) quoted = true;
    else if (c === OPEN) depth++;
    else if (c === CLOSE && --depth === 0) return at + 1;
  }
  return undefined;
}

function parse(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch (cause) {
    throw unreadable(text, cause);
  }
}
