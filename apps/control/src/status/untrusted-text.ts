/** The longest text of an agent's that is kept. */
const MAX_TEXT = 1_000;

/**
 * Text from an agent as it may be stored and shown: bounded, and without control characters and marks that turn the reading
 * direction, which could forge what a terminal shows. PostgreSQL's jsonb refuses NUL besides.
 */
export function cleanText(text: string): string {
  const short = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}...` : text;
  return short.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, '\ufffd').toWellFormed();
}

/** The same for every string inside a JSON value, keys excepted (they are ours). */
export function cleanJson(value: unknown): unknown {
  if (typeof value === 'string') return cleanText(value);
  if (Array.isArray(value)) return value.map(cleanJson);
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, cleanJson(v)]));
  return value;
}
