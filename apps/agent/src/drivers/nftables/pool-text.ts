import { isList, isObject, type Json } from '../../system/nft-json.js';
import { canonical } from './canonical.js';

/** A rule of a pool's chain as we write it, from nft's JSON; what is no such rule stays JSON, and so is never taken for ours. */
export function poolText(expr: Json): string {
  const statements = isList(expr) ? expr : [];
  const said = statements.map(statementText);
  return said.length > 0 && said.every((s) => s !== undefined) ? said.join(' ') : canonical(expr);
}

const TRANSPORTS = canonical({
  match: { op: '==', left: { meta: { key: 'l4proto' } }, right: { set: ['tcp', 'udp'] } },
});

function statementText(statement: Json): string | undefined {
  if (!isObject(statement)) return undefined;
  if (statement.match !== undefined) return canonical(statement) === TRANSPORTS ? 'meta l4proto { tcp, udp }' : undefined;
  if (isObject(statement.vmap)) return mapText(statement.vmap, 'vmap');
  const { dnat } = statement;
  if (!isObject(dnat)) return undefined;
  const { addr, port } = dnat;
  if (isObject(addr) && port === undefined)
    return prefixed('dnat to ', isObject(addr.map) ? mapText(addr.map, 'map') : undefined);
  if (typeof addr !== 'string') return undefined;
  if (port === undefined) return `dnat to ${addr}`;
  const moved = isObject(port) && isObject(port.map) ? mapText(port.map, 'map') : undefined;
  return prefixed(`dnat to ${addr.includes(':') ? `[${addr}]` : addr} : `, moved);
}

const prefixed = (prefix: string, text: string | undefined) => (text === undefined ? undefined : prefix + text);

function mapText({ key, data }: { readonly [key: string]: Json }, word: string): string | undefined {
  const chosen = chooserText(key);
  const entries = isObject(data) && isList(data.set) ? data.set : undefined;
  if (chosen === undefined || !entries) return undefined;
  const lines = entries.map((entry) => {
    const [from, to] = isList(entry) ? entry : [];
    const range = isObject(from) && isList(from.range) ? from.range : [from];
    return { first: Number(range[0]), text: `${range.map(String).join('-')} : ${valueText(to)}` };
  });
  return `${chosen} ${word} { ${lines
    .sort((a, b) => a.first - b.first)
    .map((l) => l.text)
    .join(', ')} }`;
}

function valueText(value: Json | undefined): string {
  if (isObject(value)) {
    if (isList(value.concat)) return value.concat.map(String).join(' . ');
    if (isObject(value.goto)) return `goto ${String(value.goto.target)}`;
    return canonical(value);
  }
  return String(value);
}

function chooserText(key: Json | undefined): string | undefined {
  if (!isObject(key)) return undefined;
  const { numgen, jhash, payload } = key;
  if (isObject(payload)) return `${String(payload.protocol)} ${String(payload.field)}`;
  if (isObject(numgen) && numgen.offset === 0) return `numgen ${String(numgen.mode)} mod ${String(numgen.mod)}`;
  if (!isObject(jhash) || !isObject(jhash.expr)) return undefined;
  const hashed = chooserText(jhash.expr);
  return `jhash ${hashed} mod ${String(jhash.mod)} seed 0x${Number(jhash.seed).toString(16)}`;
}
