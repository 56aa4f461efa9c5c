import { contains } from '@gwctl/shared/domain/ip';
import type { Listed } from '../../planner/sorted-list.js';
import type { PlacedForward, PlacedRelayed } from '../../planner/types.js';
import type { SeenAddress } from '../../system/virtual-addresses.js';
import type { DriverName, PlacementFinding } from '../driver.js';
import type { ForeignNat } from './foreign-nat.js';
import { type ForeignRule, overlap, type Place, type Span } from './foreign-rule.js';
import type { HostObserved } from './observe.js';
import type { Rendered } from './render.js';

/** The priority of the chain in which the nftables driver changes destinations; iptables has the usual one (dstnat). */
const PRIORITY = { nftables: -105, iptables: -100 } as const;

/** What speaks of single forwards: an address that could not be had, another tool's rule for the same listener. */
export class HostFindings {
  readonly #driver: DriverName;
  #last:
    | {
        readonly forwards: Listed<PlacedForward>;
        readonly relayed: Listed<PlacedRelayed>;
        readonly foreign: ForeignNat;
        readonly addresses: readonly SeenAddress[];
        readonly found: readonly PlacementFinding[];
      }
    | undefined;

  /** `driver`: whose rules stand beside those of others. */
  constructor(driver: DriverName) {
    this.#driver = driver;
  }

  of({ forwards, relayed, needs }: Rendered<unknown>, observed: HostObserved): readonly PlacementFinding[] {
    const { addresses: failed } = observed.troubles;
    const taken = this.#taken(forwards, relayed, observed);
    if (failed.size === 0) return taken;
    const uids = new Map([...forwards, ...relayed].map((f) => [f.key, f.uid]));
    const unannounced = needs.announced.flatMap(({ address, interface: name, forwards: keys }): PlacementFinding[] => {
      const why = failed.get(address.text);
      if (why === undefined) return [];
      const message = `the gateway does not answer for ${address.text} on ${name}: ${why}`;
      return keys.flatMap((key) => {
        const uid = uids.get(key);
        return uid === undefined
          ? []
          : [{ uid, condition: { type: 'Announced', status: 'false', reason: 'ADDRESS_NOT_ADDED', message } as const }];
      });
    });
    return [...unannounced, ...taken];
  }

  /** The same answer for as long as neither forwards nor rules of others changed. */
  #taken(
    forwards: Listed<PlacedForward>,
    relayed: Listed<PlacedRelayed>,
    { foreign, addresses }: HostObserved,
  ): readonly PlacementFinding[] {
    if (foreign.rules.length === 0) return [];
    const last = this.#last;
    const same = last?.forwards === forwards && last.relayed === relayed;
    if (last && same && last.foreign === foreign && last.addresses === addresses) return last.found;
    const host = { driver: this.#driver, addresses };
    const listening = relayed.flatMap((r) => listensOf(r));
    const found = [...takenListeners(forwards, foreign.rules, host), ...takenListeners(listening, foreign.rules, host)];
    this.#last = { forwards, relayed, foreign, addresses, found };
    return found;
  }
}

/** What matters of a forward for whose packets it gets. */
type Listens = Pick<PlacedForward, 'uid' | 'family' | 'listen'> & { readonly relayed?: boolean };

/** The relay's socket, in each family. */
function listensOf({ uid, listen: { families, transports, ...listen } }: PlacedRelayed): Listens[] {
  const [only = 'tcp', ...more] = transports;
  const protocol = more.length > 0 ? 'tcp+udp' : only;
  return families.map((family) => ({ uid, family, listen: { ...listen, protocol }, relayed: true }));
}

/** Forwards whose listener a rule of another tool takes too. */
export function takenListeners(
  forwards: Listed<Listens>,
  rules: readonly ForeignRule[],
  host: { readonly driver: DriverName; readonly addresses: readonly SeenAddress[] },
): PlacementFinding[] {
  const index = new RuleIndex(rules);
  const own = new Set(host.addresses.map((a) => a.address.text));
  return forwards.flatMap((forward): PlacementFinding[] => {
    const rule = index.candidates(forward).find((r) => takes(r, forward, host.addresses, own));
    return rule ? [{ uid: forward.uid, condition: condition(rule, forward, host.driver) }] : [];
  });
}

/** Ranges are found by blocks of this many ports. */
const BLOCK_BITS = 6;
/** Wider ranges are looked at for each forward. */
const WIDE = 4096;

/** Rules by their ports, so that tens of thousands of forwards need not look at each rule. */
class RuleIndex {
  readonly #byPort = new Map<number, ForeignRule[]>();
  readonly #byBlock = new Map<number, ForeignRule[]>();
  /** Of every port, or of many. */
  readonly #wide: ForeignRule[] = [];
  readonly #all: readonly ForeignRule[];

  constructor(rules: readonly ForeignRule[]) {
    this.#all = rules;
    for (const rule of rules) {
      const { ports } = rule.taken;
      if (!ports || ports.some((s) => s.last - s.first >= WIDE)) this.#wide.push(rule);
      else for (const span of ports) this.#add(span, rule);
    }
  }

  /** Rules that may take packets to these ports; some may come twice. */
  candidates({ listen: { ports } }: Listens): readonly ForeignRule[] {
    if (!ports || ports.first !== ports.last) return this.#all;
    const exact = this.#byPort.get(ports.first) ?? [];
    const near = this.#byBlock.get(ports.first >> BLOCK_BITS) ?? [];
    return exact.length + near.length === 0 ? this.#wide : [...exact, ...near, ...this.#wide];
  }

  #add({ first, last }: Span, rule: ForeignRule): void {
    if (first === last) push(this.#byPort, first, rule);
    else for (let block = first >> BLOCK_BITS; block <= last >> BLOCK_BITS; block++) push(this.#byBlock, block, rule);
  }
}

function push(into: Map<number, ForeignRule[]>, number: number, rule: ForeignRule): void {
  const there = into.get(number);
  if (there) there.push(rule);
  else into.set(number, [rule]);
}

const NUMBERS = { tcp: [6], udp: [17], 'tcp+udp': [6, 17], all: undefined } as const;

/** Whether some packet meets both. */
function takes(
  { family, taken }: ForeignRule,
  { family: listened, listen }: Listens,
  addresses: readonly SeenAddress[],
  own: ReadonlySet<string>,
): boolean {
  if (family !== listened) return false;
  const protocols: readonly number[] | undefined = NUMBERS[listen.protocol];
  if (protocols && taken.protocols && !taken.protocols.some((n) => protocols.includes(n))) return false;
  const { ports } = listen;
  if (ports && taken.ports && !taken.ports.some((span: Span) => overlap(span, ports))) return false;
  if (listen.interface !== undefined) {
    if (taken.from && !taken.from.includes(listen.interface)) return false;
    if (taken.notFrom?.includes(listen.interface)) return false;
  }
  const { address } = listen;
  // A listener without an address takes whatever is for the gateway itself.
  const possible = address ? [address] : addresses.filter((a) => a.address.family === family).map((a) => a.address);
  return possible.some(
    (a) =>
      (!taken.local || own.has(a.text)) &&
      (!taken.to || taken.to.some((network) => contains(network, a))) &&
      !taken.notTo?.some((network) => contains(network, a)),
  );
}

function condition({ chain, rule, place }: ForeignRule, { listen, relayed }: Listens, driver: DriverName) {
  const where = listen.address ? listen.address.text : 'the gateway';
  return {
    type: 'ListenerFree',
    status: 'false',
    reason: 'FOREIGN_DNAT',
    message: `${chain} of another tool sends on packets to ${where} too (${rule}); ${relayed ? BEFORE_RELAY : outcome(place, driver)}. Take the port from one of the two`,
  } as const;
}

const BEFORE_RELAY = 'it comes before the socket that the relay listens with, so the forward gets none of them';

/** A flow's destination is changed once, by the first rule that says so. */
function outcome(place: Place, driver: DriverName): string {
  const ours = driver === 'nftables' ? PRIORITY.nftables : PRIORITY.iptables;
  const theirs = place.kind === 'nft' ? place.priority : PRIORITY.iptables;
  const by = `priority ${ours} against ${theirs}`;
  if (ours < theirs) return `the forward comes first (${by}), so the other rule gets none of them`;
  if (ours > theirs) return `the other rule comes first (${by}), so the forward gets none of them`;
  const sameChain = place.kind === 'iptables' && driver === `iptables-${place.variant}`;
  if (sameChain && place.first === false) return 'the forward comes first in PREROUTING, so the other rule gets none of them';
  if (sameChain && place.first === true) return 'the other rule comes first in PREROUTING, so the forward gets none of them';
  return 'both have the same priority, so whichever chain was made last gets them';
}
