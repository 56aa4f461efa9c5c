/**
 * Runs in the gateway's network namespace: what the agent does with a host beside its rules, and with its connection tracking. Like
 * gateway-main.ts it loads built code of the agent, without control plane and reconciler.
 */

import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { parseCidr, parseIp } from '@gwctl/shared/domain/ip';
import { addressBytes } from '@gwctl/shared/domain/ip-bytes';
import { HostDriver } from '../../apps/agent/dist/drivers/host/driver.js';
import { hostParts } from '../../apps/agent/dist/drivers/host/parts.js';
import { addressKernel } from '../../apps/agent/dist/system/address-kernel.js';
import { ProcessExec } from '../../apps/agent/dist/system/exec.js';
import { flowTracking } from '../../apps/agent/dist/system/flow-tracking.js';
import { generationReader } from '../../apps/agent/dist/system/generation.js';
import { IpForwarding } from '../../apps/agent/dist/system/ip-forwarding.js';
import { linkReader } from '../../apps/agent/dist/system/links.js';
import { loadLibc } from '../../apps/agent/dist/system/netlink/libc.js';
import { sendFrames } from '../../apps/agent/dist/system/netlink/packet-socket.js';
import { ProcFlowSources } from '../../apps/agent/dist/system/proc-flows.js';
import { FileSysctlRecord, ProcSysctl } from '../../apps/agent/dist/system/sysctl.js';
import { markVirtual } from '../../apps/agent/dist/system/virtual-addresses.js';
import type { HostCommand, HostWanted, LookedAtHost } from './host-protocol.js';

const stateDir = process.argv[2] ?? '';
const exec = new ProcessExec();
const links = linkReader(exec);
const record = new FileSysctlRecord({ file: join(stateDir, 'sysctl.json') });
const sysctl = new ProcSysctl();
const forwarding6 = new IpForwarding({ sysctl, record, family: 6 });
const seen: number[] = [];

const ip = (text: string) => {
  const parsed = parseIp(text);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
};
const network = (text: string) => {
  const parsed = parseCidr(text);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
};

/** Rules are none of this table's business. */
const noRules = {
  name: 'nftables',
  capabilities: {
    families: [4, 6],
    protocols: ['tcp', 'udp', 'tcp+udp', 'all'],
    portRanges: true,
    targets: 1,
    affinityTargets: 0,
    announce: false,
    ftp: true,
    clampMss: false,
    egress: true,
    kind: 'kernel',
  },
  detect: async () => ({ supported: true, detail: '' }),
  render: () => undefined,
  observe: async () => ({}),
  mirror: () => ({}),
  diff: () => ({ steps: [] }),
  apply: async () => undefined,
  drift: () => [],
  conditions: () => [],
  cleanUp: async () => undefined,
  watch: () => ({ close: () => undefined }),
} as const;

const { parts, watch } = hostParts({
  exec,
  stateDir,
  sysctl,
  record,
  generation: generationReader().generation,
  now: Date.now,
  monotonic: () => performance.now(),
});
const driver = new HostDriver<unknown, object, never>({ inner: noRules, host: parts, watch });
const flows = flowTracking({
  exec,
  sources: new ProcFlowSources({ ownAddresses: async () => new Set((await links()).addresses.map((a) => a.address.text)) }),
});

let wanted: ReturnType<typeof driver.render> | undefined;

function render({ announced, hairpins, ftp, listeners }: HostWanted) {
  const forward = {
    uid: 'u1',
    generation: 1,
    key: 'k1',
    family: 4,
    targets: [{ address: ip('10.0.0.10'), port: 1, weight: 1 }],
    affinity: 'none',
    snat: { mode: 'masquerade' },
    onChange: 'drain',
    clampMss: false,
    hairpin: (hairpins ?? []).map((text) => ({ network: network(text), target: ip('10.0.0.10') })),
    ...(ftp ? { ftp: { first: 21, last: 21 } } : {}),
  } as const;
  const ports = (port: number) => ({ first: port, last: port });
  return driver.render({
    forwards: (listeners ?? [{ address: '203.0.113.10', port: 1 }]).map(({ address, port }) => ({
      ...forward,
      listen: { address: ip(address), protocol: 'tcp', ports: ports(port) },
    })),
    egresses: [],
    relayed: [],
    protected: [],
    announced: announced.map(([address, name]) => ({ address: ip(address), interface: name, forwards: ['k1'] })),
  });
}

async function look(): Promise<LookedAtHost> {
  const began = performance.now();
  const observed = await driver.observe();
  const ms = performance.now() - began;
  return {
    ms,
    drift: (wanted ? driver.drift(wanted, observed) : []).map(({ drift: { cause, object } }) => `${cause} ${object}`),
    conditions: Object.fromEntries(driver.conditions(observed).map((c) => [c.type, c.reason])),
    findings: (wanted ? driver.findings(wanted, observed) : []).map((f) => f.condition.message),
    planned: (await markVirtual(links, parts.addresses)()).addresses.flatMap((a) => (a.announced ? [] : [a.address.text])),
  };
}

/** RFC 4861, section 4.2: a router offers itself as the default route. */
async function advertise(name: string): Promise<void> {
  const { links: all, addresses } = await addressKernel(exec).list();
  const link = all.find((l) => l.name === name);
  const own = addresses.find((a) => a.link === link?.index && a.address.text.startsWith('fe80:'));
  if (!link?.mac || !own) throw new Error(`${name} has no address of its own to advertise from`);
  const everybody = Buffer.from('ff020000000000000000000000000001', 'hex');
  const source = addressBytes(own.address.text);
  const message = Buffer.from('860000004000070800000000000000000101', 'hex');
  const body = Buffer.concat([message, link.mac]);
  const sum = [...Buffer.concat([source, everybody, Buffer.from([0, body.length, 0, 58]), body])].reduce(
    (total, octet, i) => total + (i % 2 === 0 ? octet << 8 : octet),
    0,
  );
  body.writeUInt16BE(~((sum & 0xffff) + (sum >>> 16)) & 0xffff, 2);
  const header = Buffer.from([0x60, 0, 0, 0, 0, body.length, 58, 255]);
  const ethernet = Buffer.concat([Buffer.from('333300000001', 'hex'), link.mac, Buffer.from('86dd', 'hex')]);
  sendFrames(loadLibc(), link.index, [Buffer.concat([ethernet, header, source, everybody, body])]);
}

async function carryOut(command: HostCommand): Promise<unknown> {
  switch (command.op) {
    case 'want': {
      wanted = render(command.wanted);
      const plan = driver.diff(wanted, await driver.observe());
      await driver.apply(plan);
      return plan.steps.map((s) => s.title);
    }
    case 'look':
      return look();
    case 'cleanUp':
      await driver.cleanUp();
      return undefined;
    case 'watch':
      driver.watchHost?.(() => seen.push(performance.now()));
      return undefined;
    case 'seen':
      return seen.splice(0).length;
    case 'forwarding6':
      await (command.on ? forwarding6.turnOn() : forwarding6.restore());
      return forwarding6.read();
    case 'advertise':
      return advertise(command.interface);
    case 'flows':
      return (await flows.live.among(command.matches)).map((f) => ({
        protocol: f.protocol,
        to: f.original.destination,
        port: f.original.destinationPort,
        from: f.original.source,
        target: f.reply.source,
      }));
    case 'removeFlows':
      return flows.table.remove(command.matches);
    case 'probe':
      return flows.probe();
  }
}

let queue: Promise<void> = Promise.resolve();
createInterface({ input: process.stdin })
  .on('line', (line) => {
    const request = JSON.parse(line) as HostCommand & { id: number };
    const answer = async () => {
      try {
        return { id: request.id, result: await carryOut(request) };
      } catch (error) {
        return { id: request.id, error: String(error) };
      }
    };
    queue = queue.then(async () => {
      process.stdout.write(`${JSON.stringify(await answer())}\n`);
    });
  })
  .on('close', () => process.exit(0));
process.stdout.write('{"id":0}\n');
