import { err, ok, quote, type Result } from './result.js';

const NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const LABEL_KEY = /^[a-z0-9A-Z](?:[a-z0-9A-Z._/-]{0,61}[a-z0-9A-Z])?$/;
const LABEL_VALUE = /^(?:[a-z0-9A-Z](?:[a-z0-9A-Z._-]{0,61}[a-z0-9A-Z])?)?$/;
const DNS_LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/i;
const UID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** The most labels one resource may carry. */
export const MAX_LABELS = 64;
/** The longest free text (description, owner), in UTF-16 code units. */
export const MAX_TEXT = 256;

/** A resource's name: [a-z0-9-]{1,63}, no hyphen first or last. */
export function parseName(text: string): Result<string, string> {
  return NAME.test(text)
    ? ok(text)
    : err(`${quote(text)} is not a name; use 1 to 63 of a-z, 0-9 and "-", with a letter or digit first and last`);
}

/** A uid as the control plane makes them: a UUID in lower case. */
export function parseUid(text: string): Result<string, string> {
  return UID.test(text) ? ok(text) : err(`${quote(text)} is not a uid; expected a UUID in lower case`);
}

/**
 * An interface name by the kernel's own rule (dev_valid_name, net/core/dev.c: 1 to 15 bytes, no "/", ":", white space, not "."
 * or ".."), narrowed to printable ASCII, and without what iptables takes as a wildcard ("+" last), a negation ("!") or nft as syntax.
 */
export function parseInterface(text: string): Result<string, string> {
  if (/^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,14}$/.test(text) && text !== '.' && text !== '..') return ok(text);
  return err(
    `${quote(text)} is not an interface name; write one that "ip link" shows, 1 to 15 of a-z, A-Z, 0-9, "_", ".", "@", "-"`,
  );
}

export function parseDnsName(text: string): Result<string, string> {
  const name = text.endsWith('.') ? text.slice(0, -1) : text;
  const labels = name.split('.');
  const wellFormed = name.length > 0 && name.length <= 253 && labels.every((l) => DNS_LABEL.test(l));
  // A last label of digits only is an address that went wrong (RFC 3696 section 2), not a name.
  if (wellFormed && !/^\d+$/.test(labels.at(-1) ?? '')) return ok(name.toLowerCase());
  return err(`${quote(text)} is neither an IP address nor a DNS name`);
}

/** Checks a set of labels; the error speaks of the first bad one. */
export function parseLabels(labels: Readonly<Record<string, string>>): Result<Readonly<Record<string, string>>, string> {
  const entries = Object.entries(labels);
  if (entries.length > MAX_LABELS) return err(`${entries.length} labels; at most ${MAX_LABELS} are allowed`);
  for (const [key, value] of entries) {
    if (!LABEL_KEY.test(key) || key === '__proto__')
      return err(
        `label key ${quote(key)} must be 1 to 63 of a-z, A-Z, 0-9, ".", "_", "/", "-", with a letter or digit first and last`,
      );
    if (!LABEL_VALUE.test(value))
      return err(
        `label value ${quote(value)} (of ${quote(key)}) must be at most 63 of a-z, A-Z, 0-9, ".", "_", "-", with a letter or digit first and last`,
      );
  }
  return ok(Object.fromEntries(entries));
}

/** Free text for people: at most {@link MAX_TEXT} characters, no control characters. */
export function parseText(text: string): Result<string, string> {
  if (text.length > MAX_TEXT) return err(`${text.length} characters; at most ${MAX_TEXT} are allowed`);
  // Control characters, and the marks that turn the reading direction, could forge what a terminal or a log shows.
  if (/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/.test(text))
    return err(`${quote(text)} holds control characters; write plain text on one line`);
  return ok(text);
}
