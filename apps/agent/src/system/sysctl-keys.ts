/** The name of a parameter of one interface: `net.ipv4.conf.eth0.send_redirects`. A dot in the interface's name becomes a slash. */
export const interfaceKey = (family: 4 | 6, name: string, parameter: string): string =>
  `net.ipv${family}.conf.${name.replaceAll('.', '/')}.${parameter}`;

/** What we hold a kernel parameter at, by the last word of its name. */
const HELD_AT: Readonly<Record<string, string>> = { send_redirects: '0', accept_ra: '2' };

/** What a parameter is held at. Throws for one that never is. */
export function heldAt(key: string): string {
  const value = HELD_AT[lastWord(key)];
  if (value === undefined) throw new Error(`${key} is no parameter that is held at a value`);
  return value;
}

export const isHeld = (key: string): boolean => HELD_AT[lastWord(key)] !== undefined;

const lastWord = (key: string): string => key.slice(key.lastIndexOf('.') + 1);
