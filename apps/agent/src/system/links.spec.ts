import { expect, it } from 'vitest';
import { parseIpAddr } from './links.js';

it('reads what ip -j addr prints, interfaces without addresses too', () => {
  const printed = JSON.stringify([
    { ifname: 'lo', addr_info: [{ family: 'inet', local: '127.0.0.1', prefixlen: 8 }] },
    {
      ifname: 'wan',
      addr_info: [
        { family: 'inet', local: '203.0.113.10', prefixlen: 32 },
        { family: 'inet6', local: 'fe80::1', prefixlen: 64 },
      ],
    },
    { ifname: 'down0', addr_info: [] },
    {},
  ]);
  const links = parseIpAddr(printed);
  expect(links.interfaces).toEqual(['lo', 'wan', 'down0']);
  expect(links.addresses.map((a) => `${a.interface} ${a.address.text}/${a.prefix}`)).toEqual([
    'lo 127.0.0.1/8',
    'wan 203.0.113.10/32',
    'wan fe80::1/64',
  ]);
});
