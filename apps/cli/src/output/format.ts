export const FORMATS = ['table', 'wide', 'json', 'yaml', 'name'] as const;

/** What `-o` takes. */
export type Format = (typeof FORMATS)[number];
