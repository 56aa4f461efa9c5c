/**
 * Text from elsewhere as a terminal may show it: control characters, and the marks that turn the reading direction, are written out
 * and not obeyed.
 */
export const escapeText = (text: string): string =>
  text.replaceAll(
    /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
