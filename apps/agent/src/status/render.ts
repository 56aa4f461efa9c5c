import { escapeText } from './escape.js';
import type { StatusForward, StatusReport, StatusTarget } from './report.js';

/** The status for people. `now`: milliseconds since the epoch. */
export function renderStatus(report: StatusReport, now: number): string {
  const rows: [string, string][] = [
    ['gateway', `${report.gateway.name} (${report.gateway.uid})`],
    ['agent', `${report.agent.version}, pid ${report.agent.pid}, running for ${age(report.agent.startTime, now)}`],
    ['control plane', connection(report.controlPlane, now)],
    ['desired state', desired(report.desired, now)],
    ['driver', report.driver],
    ['certificate', certificate(report.certificate, now)],
    ...report.conditions
      .filter((c) => c.status !== 'true')
      .map((c): [string, string] => ['condition', `${c.type} ${c.status}, ${c.reason}: ${c.message} (for ${age(c.since, now)})`]),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  const head = rows.map(([name, value]) => `${name.padEnd(width)}  ${escapeText(value)}`);
  const capabilities = report.capabilities.map(
    (c) => `  ${c.supported ? 'yes' : 'no '}  ${escapeText(c.name)}: ${escapeText(c.detail)}`,
  );
  return [...head, '', 'capabilities', ...capabilities, '', ...forwards(report.forwards)].join('\n');
}

function connection(c: StatusReport['controlPlane'], now: number): string {
  if (c.connected) {
    const skew =
      Math.abs(c.clockSkewMs ?? 0) > 60_000 ? `, whose clock is ${Math.round((c.clockSkewMs ?? 0) / 1000)} s from ours` : '';
    return `connected to ${c.server} for ${age(c.since, now)} (session ${c.session}, version ${c.version})${skew}`;
  }
  const why = c.error ? `: ${c.error.message} (${c.error.reason})` : '';
  const next = c.nextAttempt === undefined ? '' : `; next attempt in ${duration(Math.max(0, Date.parse(c.nextAttempt) - now))}`;
  return `not connected for ${age(c.since, now)}${why}${next}`;
}

function desired(d: StatusReport['desired'], now: number): string {
  if (!d.known) return 'none yet; the host is left as it is until the control plane sends a snapshot';
  const applied = d.appliedRevision === undefined ? 'not applied yet' : `revision ${d.appliedRevision} applied`;
  const what = `revision ${d.acceptedRevision} accepted, ${applied}, ${d.forwards} forwards, epoch ${d.epoch}`;
  const when = d.acceptedTime === undefined ? '' : `, accepted ${age(d.acceptedTime, now)} ago (${d.acceptedTime})`;
  return d.source === 'disk'
    ? `running from disk, not confirmed by the control plane since the agent started: ${what}${when}`
    : `from the control plane: ${what}${when}`;
}

function certificate({ notAfter }: StatusReport['certificate'], now: number): string {
  const left = Date.parse(notAfter) - now;
  return left > 0 ? `good for ${duration(left)} (until ${notAfter})` : `expired ${duration(-left)} ago (${notAfter})`;
}

function forwards(list: readonly StatusForward[]): string[] {
  if (list.length === 0) return ['no forwards'];
  const rows = list.map((f) =>
    [f.name, f.state, f.listen ?? f.egress ?? '', f.targets.map(target).join(', '), traffic(f)].map(escapeText),
  );
  const head = ['FORWARD', 'STATE', 'LISTEN', 'TARGETS', 'TRAFFIC'];
  const widths = head.map((h, i) => Math.max(h.length, ...rows.map((r) => r[i]?.length ?? 0)));
  const lay = (cells: readonly string[]) =>
    cells
      .map((c, i) => c.padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd();
  return [
    lay(head),
    ...list.flatMap((f, i) => [
      lay(rows[i] ?? []),
      ...f.conditions.filter((c) => c.status !== 'true').map((c) => `  ${escapeText(`${c.reason}: ${c.message}`)}`),
      ...(f.drift && f.drift.repaired === undefined
        ? [`  ${escapeText(`DRIFT: ${f.drift.object} ${f.drift.cause}: ${f.drift.message}`)}`]
        : []),
    ]),
  ];
}

function target({ address, health, rttUs }: StatusTarget): string {
  if (health === undefined) return address;
  return `${address} (${health}${rttUs === undefined ? '' : `, ${(rttUs / 1000).toFixed(1)} ms`})`;
}

function traffic({ counters }: StatusForward): string {
  if (!counters) return '';
  const refused = counters.refused > 0 ? `, ${counters.refused} refused` : '';
  return `${counters.flows} flows, ${counters.packets} packets, ${counters.bytes} bytes${refused}`;
}

const age = (since: string, now: number): string => duration(Math.max(0, now - Date.parse(since)));

/** `45 s`, `12 min`, `3 h 20 min`, `5 d 2 h`. */
export function duration(ms: number): string {
  const s = Math.round(ms / 1000);
  if (s < 120) return `${s} s`;
  const min = Math.floor(s / 60);
  if (min < 120) return `${min} min`;
  const h = Math.floor(min / 60);
  if (h < 48) return `${h} h ${min % 60} min`;
  return `${Math.floor(h / 24)} d ${h % 24} h`;
}
