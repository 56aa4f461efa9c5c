import type { PlacementStateWord } from '@gwctl/shared/domain/status';
import { defineCommand } from '../command/definition.js';
import type { ControlPlane } from '../context/control-plane.js';
import { fieldLines, timeWithDistance } from '../output/description.js';
import { toJson, toYaml } from '../output/documents.js';
import { connectionText } from '../output/gateway-view.js';
import { stateOf, stateSummary } from '../output/placement-view.js';
import { tableLines } from '../output/table.js';
import { take } from '../output/view.js';
import type { SystemStatusResource } from '../resources/system.js';

/** States that somebody should look at. */
const TROUBLE: readonly PlacementStateWord[] = ['REJECTED', 'DEGRADED', 'UNKNOWN'];
/** How many troubled forwards of each state are named. */
const NAMED = 20;

export const status = defineCommand({
  path: 'status',
  summary: 'Show how the control plane, its gateways and forwards stand',
  description: 'Counts everything, and names the gateways and forwards that somebody should look at.',
  args: {},
  options: {},
  formats: ['table', 'json', 'yaml'],
  connects: true,
  examples: [{ says: 'For people', command: 'gwctl status' }],
  async run(context, { output }) {
    const controlPlane = await context.controlPlane();
    const system = await controlPlane.system.status();
    const document = { apiVersion: 'gwctl/v1', kind: 'Status', ...system };
    if (output === 'json') context.printDocument(toJson(document));
    else if (output === 'yaml') context.printDocument(await toYaml([document]));
    else {
      const now = context.clock.now();
      for (const line of [...summaryLines(system, now), ...(await troubleLines(controlPlane, system))]) context.print(line);
    }
  },
});

function summaryLines(s: SystemStatusResource, now: number): string[] {
  const placements = Object.entries(s.placements)
    .filter(([, n]) => n > 0)
    .map(([state, n]) => `${n} ${state}`)
    .join(', ');
  return fieldLines([
    ['Control plane', s.version],
    ['Started', timeWithDistance(s.startTime, now)],
    ['Epoch', s.epoch],
    ['Gateways', `${s.gatewaysConnected} of ${s.gateways} online`],
    ['Placements', placements || 'none'],
  ]);
}

async function troubleLines(controlPlane: ControlPlane, s: SystemStatusResource): Promise<string[]> {
  const lines: string[] = [];
  if (s.gatewaysConnected < s.gateways) {
    const { items } = await take(controlPlane.gateways.list({}), 0);
    const rows = items.filter((g) => !g.status.connected).map((g) => [g.metadata.name, connectionText(g)]);
    lines.push('', 'Gateways to look at:', ...tableLines(rows).map((l) => `  ${l}`));
  }
  const rows = new Map<string, string[]>();
  let cut = false;
  for (const state of TROUBLE) {
    if ((s.placements[state] ?? 0) === 0) continue;
    const { items, more } = await take(controlPlane.forwards.list({ state }), NAMED);
    cut ||= more;
    for (const f of items) rows.set(f.metadata.name, [f.metadata.name, stateSummary(f)]);
  }
  const egresses = await troubledEgresses(controlPlane, s);
  if (rows.size > 0) lines.push('', 'Forwards to look at:', ...tableLines([...rows.values()]).map((l) => `  ${l}`));
  if (cut) lines.push('  ... and more: gwctl forward list --state STATE');
  if (egresses.length > 0) lines.push('', 'Egresses to look at:', ...tableLines(egresses).map((l) => `  ${l}`));
  return lines;
}

async function troubledEgresses(controlPlane: ControlPlane, s: SystemStatusResource): Promise<string[][]> {
  if (TROUBLE.every((state) => (s.placements[state] ?? 0) === 0)) return [];
  const { items } = await take(controlPlane.egresses.list({}), 0);
  const troubled = items.filter(({ metadata, status: { placements } }) =>
    placements.some((p) => TROUBLE.some((state) => state === stateOf(p, metadata.generation ?? 0))),
  );
  return troubled.slice(0, NAMED).map((e) => [e.metadata.name, stateSummary(e)]);
}
