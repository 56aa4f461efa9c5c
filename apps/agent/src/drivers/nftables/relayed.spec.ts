import { beforeEach, describe, expect, it } from 'vitest';
import { COMPANION } from '../../filters/filters.js';
import { placed } from '../../testing/placed.js';
import { relayed } from '../../testing/relayed.js';
import { elementsBySet, established, MemoryHost, SSH, uid } from './testing.js';

const one = relayed();

let host: MemoryHost;
beforeEach(() => {
  host = new MemoryHost();
});
const relay = (...all: ReturnType<typeof relayed>[]) => host.reconcile([], [SSH], { relayed: all });

describe('what the relay listens on', () => {
  it('is let in as it listens: by address, interface, ports and sources, in each family', async () => {
    const { rendered } = await relay(
      one,
      relayed({ uid: uid(2), address: null, port: 5000, last: 5010, transports: ['tcp', 'udp'] }),
      relayed({ uid: uid(3), interface: 'wan', port: 9000, allow: ['192.0.2.0/24', '198.51.100.7/32'] }),
      relayed({ uid: uid(4), address: null, port: 9001, allow: ['192.0.2.0/24', '2001:db8::/32'] }),
      relayed({ uid: uid(5), port: 9002, allow: [] }),
    );
    const [a, b, c, d] = [one, ...[2, 3, 4].map((n) => relayed({ uid: uid(n) }))].map((r) => ` comment "${r.key}"`);
    expect(elementsBySet(rendered)).toEqual({
      'relay-at': [`203.0.113.10 . tcp . 8080${a}`],
      'relay-any': [`tcp . 5000-5010${b}`, `udp . 5000-5010${b}`],
      'relay-from-if-at': [
        `"wan" . 203.0.113.10 . tcp . 9000 . 192.0.2.0/24${c}`,
        `"wan" . 203.0.113.10 . tcp . 9000 . 198.51.100.7${c}`,
      ],
      'relay-from-any': [`tcp . 9001 . 192.0.2.0/24${d}`],
      'ip6 relay-any': [`tcp . 5000-5010${b}`, `udp . 5000-5010${b}`],
      'ip6 relay-from-any': [`tcp . 9001 . 2001:db8::/32${d}`],
    });
  });

  it('needs the table and not forwarding, and leaves nothing', async () => {
    host.six.on = false;
    const { plan } = await relay(relayed({ address: null }));
    expect(host.nft.tables()).toHaveLength(2);
    expect(plan.steps.map((s) => s.kind)).not.toContain('ip-forward');
    expect(host.six).toEqual({ on: false, ours: false });
    // Whoever turns forwarding on while there is nothing but the relay is not kept from it.
    host.six.on = true;
    await host.driver.observe();
    expect((await relay(relayed({ address: null }))).plan.steps).toEqual([]);
    await relay();
    expect(host.nft.tables()).toEqual([]);
    expect(host.filters.input.size + host.filters.forward.size).toBe(0);
  });

  it('costs its own elements where the table is there', async () => {
    await host.reconcile([placed()]);
    await host.reconcile([placed()], [SSH], { relayed: [one] });
    expect(host.nft.committed.at(-1)).toEqual([
      `add element ip gwctl relay-at { 203.0.113.10 . tcp . 8080 comment "${one.key}" }`,
    ]);
  });
});

describe('a forward that changes hands', () => {
  const moved = relayed({ uid: placed().uid, port: 443 });
  const DROP = { policy: 'DROP', rules: [] } as const;
  beforeEach(() => {
    host.sysctl.values.set('net.ipv4.ip_forward', '0');
    for (const chain of ['forward', 'input'] as const) host.filters[chain].set('nft', DROP);
  });
  const kinds = (plan: { readonly steps: readonly { readonly kind: string; readonly title: string }[] }) =>
    plan.steps.map((s) => (s.kind === 'companion' || s.kind === 'ip-forward' ? s.title : s.kind));
  const [into, outOf] = ['accept our flows first in', 'remove our rule from'].map(
    (t) => (hook: string) => `iptables-nft: ${t} ${hook}`,
  );

  it('goes to the relay once it is let in; what flows of the kernel live on goes later', async () => {
    await host.reconcile([placed()]);
    const { committed } = host.nft;
    const before = committed.length;
    const { plan } = await relay(moved);
    const elements = plan.steps.filter((s) => s.kind === 'elements').map((s) => s.kind);
    expect(kinds(plan)).toEqual(['elements', into?.('INPUT'), ...elements.slice(2), 'let-pass', 'elements', 'verify']);
    // What interval sets hold is seen a moment later than all else, so that it comes before.
    expect(committed.slice(before)).toHaveLength(3);
    // A packet that was sent to the target meets the source addresses last.
    expect(host.underWay).toEqual([before + 2]);
    const gone = (n: number) =>
      (committed[before + n] ?? []).flatMap((l) => /^delete element ip gwctl (\S+) /.exec(l)?.[1] ?? []);
    expect(gone(1)).toContain('to-at');
    expect(gone(1)).not.toContain('masq-at');
    expect(gone(2)).toEqual(['masq-at']);
    expect(committed[before]).toEqual([expect.stringMatching(/^add element ip gwctl relay-at /)]);
    expect(host.filters.forward.get('nft')?.rules).toEqual([COMPANION]);
    expect(host.sysctl.values.get('net.ipv4.ip_forward')).toBe('1');
    const { plan: later } = await relay(moved);
    expect(kinds(later)).toEqual([
      'look-for-flows',
      'release',
      'set net.ipv4.ip_forward back to 0',
      outOf?.('FORWARD'),
      'verify',
    ]);
    expect(host.filters.forward.get('nft')?.rules).toEqual([]);
    expect(host.sysctl.values.get('net.ipv4.ip_forward')).toBe('0');
    // What keeps others out goes once forwarding is off, and then there is nothing left to do.
    await relay(moved);
    expect((await relay(moved)).plan.steps).toEqual([]);
  });

  it('goes to the kernel in one transaction, once that can forward, and the relay is let in until then', async () => {
    await relay(moved);
    const before = host.nft.committed.length;
    const { plan } = await host.reconcile([placed()]);
    const elements = plan.steps.filter((s) => s.kind === 'elements').map((s) => s.kind);
    const ready = ['closed', into?.('FORWARD'), 'set net.ipv4.ip_forward to 1'];
    expect(kinds(plan)).toEqual([...ready, ...elements.slice(1), 'let-pass', 'elements', outOf?.('INPUT'), 'verify']);
    expect(host.nft.committed).toHaveLength(before + 3);
    // What came to the relay is let in to it.
    expect(host.underWay).toEqual([before + 2]);
    expect(host.nft.committed.at(-1)).toEqual([expect.stringMatching(/^delete element ip gwctl relay-at /)]);
    expect((await host.reconcile([placed()])).plan.steps).toEqual([]);
  });
});

describe("others' filters of what comes to the gateway", () => {
  const DROP = { policy: 'DROP', rules: ['-i lo -j ACCEPT'] } as const;

  it('get one rule of ours, first, for as long as the relay listens', async () => {
    host.filters.input.set('nft', DROP);
    host.filters.input.set('legacy', { policy: 'ACCEPT', rules: [] });
    host.filters.forward.set('nft', { policy: 'DROP', rules: [] });
    await relay(one);
    expect(host.filters.input.get('nft')?.rules).toEqual([COMPANION, '-i lo -j ACCEPT']);
    expect(host.filters.input.get('legacy')?.rules).toEqual([]);
    expect(host.filters.forward.get('nft')?.rules).toEqual([]);
    expect((await relay(one)).plan.steps).toEqual([]);
    await host.reconcile([placed()]);
    expect(host.filters.input.get('nft')?.rules).toEqual(['-i lo -j ACCEPT']);
    expect(host.filters.forward.get('nft')?.rules).toEqual([COMPANION]);
  });

  it('are told of where no rule of ours can help, with one to paste', async () => {
    host.filters.nativeInput = [{ table: 'inet fw', chain: 'in', priority: 0 }];
    await relay(one);
    const found = host.driver.conditions(await host.driver.observe());
    expect(found).toContainEqual(
      expect.objectContaining({
        type: 'InputOpen',
        status: 'false',
        reason: 'INPUT_BLOCKED',
        message: expect.stringContaining('nft insert rule inet fw in meta mark and 0x1000000 == 0x1000000 accept'),
      }),
    );
    expect(found).toContainEqual(expect.objectContaining({ type: 'ForwardOpen', status: 'true' }));
  });

  it('are nothing to be told of without the relay', async () => {
    host.filters.nativeInput = [{ table: 'inet fw', chain: 'in', priority: 0 }];
    await host.reconcile([placed()]);
    expect(host.driver.conditions(await host.driver.observe()).map((c) => c.type)).not.toContain('InputOpen');
  });
});

describe('drift', () => {
  const DROP = { policy: 'DROP', rules: [] } as const;

  it('of what the relay listens on is found, and repaired', async () => {
    host.filters.input.set('nft', DROP);
    const { rendered } = await relay(one);
    host.nft.meddle('delete element ip gwctl relay-at { 203.0.113.10 . tcp . 8080 }');
    host.filters.input.set('nft', DROP);
    const found = host.driver.drift(rendered, await host.driver.observe());
    expect(found.map(({ forwards, drift: { cause, object } }) => [cause, object, forwards])).toEqual([
      ['missing', 'gwctl/relay-at', [one.uid]],
      ['missing', 'iptables-nft filter/INPUT', []],
    ]);
    await relay(one);
    expect(host.driver.drift(rendered, await host.driver.observe())).toEqual([]);
    expect(host.filters.input.get('nft')?.rules).toEqual([COMPANION]);
  });

  it('of the whole table is found', async () => {
    const { rendered } = await relay(one);
    host.nft.meddle('flush ruleset');
    expect(host.driver.drift(rendered, await host.driver.observe()).map((f) => f.drift.object)).toEqual(['gwctl']);
  });

  it('is none where flows of what the kernel carried before go on', async () => {
    await host.reconcile([placed()]);
    host.flows.flows.push(established());
    const { rendered } = await relay(one);
    expect(host.driver.drift(rendered, await host.driver.observe())).toEqual([]);
    expect(host.nft.tables()).toHaveLength(1);
    host.flows.flows.length = 0;
    await relay(one);
    const { rendered: after } = await relay(one);
    expect(host.driver.drift(after, await host.driver.observe())).toEqual([]);
    await relay();
    expect(host.nft.tables()).toEqual([]);
  });
});

it('a fresh process finds nothing to do, and cleans up what another left', async () => {
  host.filters.input.set('nft', { policy: 'DROP', rules: [] });
  const { rendered } = await relay(one);
  const fresh = host.freshDriver();
  const desired = { forwards: [], egresses: [], announced: [], relayed: [one], protected: [SSH] };
  expect(fresh.diff(fresh.render(desired), await fresh.observe()).steps).toEqual([]);
  expect(fresh.drift(rendered, await fresh.observe())).toEqual([]);
  await fresh.cleanUp();
  expect(host.nft.tables()).toEqual([]);
  expect(host.filters.input.get('nft')?.rules).toEqual([]);
});
