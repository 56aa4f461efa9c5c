/** A host in memory with a driver of nothing within, for the specs of this folder. */
import type { AnnouncedAddress, HostDesired, PlacedEgress, PlacedForward } from '../../planner/types.js';
import type { LinkEvent } from '../../system/address-watch.js';
import type { BridgedFrames } from '../../system/bridged-traffic.js';
import { MemorySysctl, MemorySysctlRecord } from '../../system/sysctl.fake.js';
import { SysctlPins } from '../../system/sysctl-pins.js';
import { MemoryAddresses } from '../../system/virtual-addresses.fake.js';
import { EVERYTHING } from '../../testing/gateway.js';
import { placed as anyPlaced, cidr, ip } from '../../testing/placed.js';
import type { Driver, Plan, Step } from '../driver.js';
import { HostDriver } from './driver.js';
import { type ForeignNat, NO_FOREIGN_NAT } from './foreign-nat.js';

/** TCP from 203.0.113.10:443 to 10.0.0.10:8443. */
export const placed = (over: Partial<PlacedForward> = {}): PlacedForward => ({ ...anyPlaced({ uid: 'u1' }), key: 'k1', ...over });

export const egress = (over: Partial<PlacedEgress> = {}): PlacedEgress => ({
  uid: 'e1',
  generation: 1,
  key: 'ke',
  family: 4,
  sources: [cidr('10.0.0.0/24')],
  outInterface: 'wan',
  snat: { mode: 'masquerade' },
  except: [],
  ...over,
});

export const announced = (text: string, over: Partial<AnnouncedAddress> = {}): AnnouncedAddress => ({
  address: ip(text),
  interface: 'wan',
  forwards: ['k1'],
  ...over,
});

interface RuleStep extends Step {
  readonly kind: 'rules';
}

/** Has one rule for each forward, and writes down when it changes them. */
class RulesOnly implements Driver<readonly string[], readonly string[], RuleStep> {
  readonly name = 'nftables';
  readonly capabilities = { ...EVERYTHING, announce: false };
  rules: readonly string[] = [];
  failure: Error | undefined;
  onChange: ((by: object) => void) | undefined;
  watching = 0;
  #mirror: readonly string[] | undefined;

  constructor(readonly log: string[]) {}

  detect = async () => ({ supported: true, detail: 'in memory' });
  render = (desired: HostDesired) => desired.forwards.map((f) => f.key);
  observe = async () => {
    this.#mirror = this.rules;
    return this.rules;
  };
  mirror = () => this.#mirror;
  diff = (rendered: readonly string[], observed: readonly string[]): Plan<RuleStep> => {
    if (rendered.join() === observed.join()) return { steps: [] };
    return { steps: [{ kind: 'rules', title: rendered.join(), forwards: rendered }] };
  };
  apply = async ({ steps }: Plan<RuleStep>) => {
    this.#mirror = undefined;
    if (this.failure) throw this.failure;
    for (const { forwards } of steps) {
      this.rules = forwards;
      this.log.push(`rules ${forwards.join()}`);
    }
    this.#mirror = this.rules;
  };
  drift = () => [];
  conditions = () => [];
  cleanUp = async () => {
    this.rules = [];
    this.log.push('rules cleaned up');
  };
  watch = (onChange: (by: object) => void) => {
    this.onChange = onChange;
    this.watching++;
    return { close: () => void this.watching-- };
  };
}

/** A gateway with the interfaces wan and lan. */
export class MemoryHost {
  readonly addresses = new MemoryAddresses([
    { address: ip('198.51.100.1'), prefix: 24, interface: 'wan', ours: false },
    { address: ip('10.0.0.1'), prefix: 24, interface: 'lan', ours: false },
  ]);
  readonly sysctl = new MemorySysctl(
    Object.fromEntries(['all', 'wan', 'lan'].map((name) => [`net.ipv4.conf.${name}.send_redirects`, '1'])),
  );
  readonly record = new MemorySysctlRecord();
  readonly present = new Set(['nf_conntrack_ftp', 'nf_nat_ftp']);
  /** What modprobe says; undefined: it loads. */
  modprobe: string | undefined;
  loads = 0;
  foreign: ForeignNat = NO_FOREIGN_NAT;
  room: { count: number; max: number; refused?: number } | undefined = { count: 1, max: 100 };
  notForwarding: string[] = [];
  bridged: BridgedFrames[] = [];
  announce: ((events: readonly LinkEvent[]) => void) | undefined;
  readonly inner = new RulesOnly(this.addresses.log);
  driver = this.freshDriver();

  /** One without memory. */
  freshDriver() {
    const { inner, addresses, sysctl, record } = this;
    return new HostDriver({
      inner,
      host: {
        addresses,
        sysctls: new SysctlPins({ sysctl, record }),
        modules: {
          present: async (name) => this.present.has(name),
          load: async (name) => {
            this.loads++;
            if (this.modprobe === undefined) this.present.add(name);
            return this.modprobe;
          },
        },
        room: { read: async () => this.room },
        foreign: { read: async () => this.foreign },
        interfaceForwarding: () => this.notForwarding,
        bridgedTraffic: () => this.bridged,
        now: () => 1000,
      },
      watch: (onChange) => {
        this.announce = onChange;
        return { close: () => (this.announce = undefined) };
      },
    });
  }

  desired(over: Partial<HostDesired> = {}): HostDesired {
    return { forwards: [], egresses: [], announced: [], relayed: [], protected: [], ...over };
  }

  async reconcile(over: Partial<HostDesired> = {}, mode: 'fast' | 'full' = 'fast') {
    const { driver } = this;
    const rendered = driver.render(this.desired(over));
    const observed = (mode === 'fast' ? driver.mirror() : undefined) ?? (await driver.observe());
    const plan = driver.diff(rendered, observed);
    if (plan.steps.length > 0) await driver.apply(plan);
    return { rendered, titles: plan.steps.map((s) => s.title) };
  }

  conditions() {
    const observed = this.driver.mirror();
    if (!observed) throw new Error('nothing is known of the host');
    return Object.fromEntries(this.driver.conditions(observed).map((c) => [c.type, c.reason]));
  }
}
