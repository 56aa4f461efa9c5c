/** The outcome of parsing: a value of a checked type, or what is wrong with the input. */
export type Result<T, E> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: E };

export const ok = <T>(value: T): Result<T, never> => ({ ok: true, value });
export const err = <E>(error: E): Result<never, E> => ({ ok: false, error });

/** One field that is not acceptable. `description` names the value, what is allowed and what to do. */
export interface Violation {
  /** Path in lower snake case, for instance `spec.listen.ports.first`. */
  readonly field: string;
  readonly description: string;
}

/** Collects every violation of an input, so that its author sees all of them at once. */
export class ViolationList {
  readonly items: Violation[] = [];

  add(field: string, description: string): void {
    this.items.push({ field, description });
  }

  /** The value of `result`, or undefined after noting its error under `field`. */
  take<T>(field: string, result: Result<T, string>): T | undefined {
    if (result.ok) return result.value;
    this.add(field, result.error);
    return undefined;
  }
}

/** Shows an untrusted value inside an error: quoted, control characters escaped, shortened. */
export function quote(value: string): string {
  return JSON.stringify(value.length > 80 ? `${value.slice(0, 77)}...` : value).replace(
    /[\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
