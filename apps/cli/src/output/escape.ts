/**
 * Characters that make a terminal do something, or that make text read otherwise than it is: C0 and C1 controls, DEL, and the
 * marks that turn the reading direction or break lines. Names, hostnames and messages come from outside and may hold them.
 */
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Visible instead of effective: `\u001b` for ESC, `\n` for a line break. */
export const escapeText = (text: string): string =>
  text.replace(UNSAFE, (c) => (c === '\n' ? '\\n' : c === '\t' ? '\\t' : unicode(c)));

/** For JSON and YAML that were made already: what their own escapes left out, as an escape that both understand. */
export const escapeDocument = (text: string): string => text.replace(UNSAFE, (c) => (c === '\n' ? c : unicode(c)));

/** Whether a text needs quotes and escapes in YAML. */
export const isUnsafe = (text: string): boolean => text.search(UNSAFE) >= 0;

const unicode = (c: string): string => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`;
