/**
 * For objects of which there are tens of thousands, where some fields are not always there. Spread into a literal, those would cost V8
 * a second object for the fields and a call each; set afterwards, they cost only where there are any.
 */
export type Writable<T> = { -readonly [K in keyof T]: T[K] };
