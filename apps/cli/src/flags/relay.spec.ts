import { parseRelayOptions, RELAY_NUMBERS } from '@gwctl/shared/domain/relay-options';
import { ViolationList } from '@gwctl/shared/domain/result';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatDuration } from './duration.js';
import { relayOf, relayOptions } from './relay.js';

const NOTHING = {
  proxyProtocol: undefined,
  connectTimeout: undefined,
  tcpIdleTimeout: undefined,
  udpIdleTimeout: undefined,
  maxConnections: undefined,
  maxConnectionsPerClient: undefined,
};
const keys = Object.keys(RELAY_NUMBERS) as (keyof typeof RELAY_NUMBERS)[];

/** What the domain says to the same number. */
function allowed(key: keyof typeof RELAY_NUMBERS, value: number): boolean {
  const bad = new ViolationList();
  parseRelayOptions({ ...relayOf(NOTHING), [key]: value }, undefined, bad, (field) => field);
  return bad.items.length === 0;
}

describe('flags of the relay', () => {
  it.each(keys)('--%s takes exactly what is allowed', (key) => {
    const { most, seconds } = RELAY_NUMBERS[key];
    const near = fc.oneof(fc.integer({ min: 0, max: 2 * most }), fc.constantFrom(1, most - 1, most, most + 1));
    fc.assert(
      fc.property(near, (value) => {
        const text = !seconds || value === 0 ? `${value}` : formatDuration(value * 1000);
        expect(relayOptions[key].parse(text)).toEqual(
          allowed(key, value) ? { ok: true, value } : { ok: false, error: expect.stringContaining(text) },
        );
      }),
    );
  });

  it.each(keys)('--%s goes back to the default', (key) => {
    for (const word of ['default', 'none', '0']) expect(relayOptions[key].parse(word)).toEqual({ ok: true, value: 0 });
  });

  it.each(['', ' ', '5', '-5s', '5 s', '1500ms', '0s', 'never'])('refuse "%s" as a time-out', (text) => {
    expect(relayOptions.tcpIdleTimeout.parse(text).ok).toBe(false);
  });

  it.each(['', '-1', '1.5', '1e3', '10k', '9999999999', 'all'])('refuse "%s" as a limit', (text) => {
    expect(relayOptions.maxConnections.parse(text).ok).toBe(false);
  });

  it('that are not given ask for nothing', () => {
    const bad = new ViolationList();
    expect(parseRelayOptions(relayOf(NOTHING), 'tcp', bad, (field) => field)).toBeUndefined();
    expect(bad.items).toEqual([]);
  });
});
