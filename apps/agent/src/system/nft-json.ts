import { AppError } from '@gwctl/shared/errors/app-error';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type JsonObject = { readonly [key: string]: Json };

/** The objects of `nft -j`, each with its kind. Throws NFT_UNREADABLE for what is no such document. */
export function parseObjects(text: string): [string, JsonObject][] {
  let document: Json;
  try {
    document = JSON.parse(text) as Json;
  } catch (cause) {
    throw unreadable(text, cause);
  }
  const list = isObject(document) ? document.nftables : undefined;
  if (!isList(list)) throw unreadable(text);
  return list.map((entry) => {
    const [kind, object] = isObject(entry) ? (Object.entries(entry)[0] ?? []) : [];
    if (kind === undefined || !isObject(object)) throw unreadable(JSON.stringify(entry));
    return [kind, object];
  });
}

export const isList = (value: Json | undefined): value is readonly Json[] => Array.isArray(value);
export const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const unreadable = (text: string, cause?: unknown) =>
  new AppError({
    code: 'INTERNAL',
    reason: 'NFT_UNREADABLE',
    message: `nft printed something that gwctl does not understand: ${JSON.stringify(text.slice(0, 120))}`,
    cause,
  });
