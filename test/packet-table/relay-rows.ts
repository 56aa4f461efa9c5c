import type { WantedForward } from './gateway-protocol.js';
import { NETS } from './net.js';
import type { Row, Spread, State } from './rows.js';
import type { TableHost } from './topology.js';

/** The interface of the gateway by which a host's packets come in. */
const ARRIVES: Readonly<Partial<Record<TableHost, string>>> = { cli: 'wan', dmz: 'dmz', srv: 'lan', gw: 'lo' };
/** What the other tool lets in: the gateway's own services. */
export const LET_IN = [22, 8000] as const;

/**
 * A state of the table as it is with the relay, on a gateway that drops by default what comes to itself: every forward asks for the relay.
 * The rows of what the relay refuses are left out; all others stay as they are, but for differences that are documented: what the
 * gateway does not listen on is dropped (by that other tool), a client is let in before its target refuses (so that it sees a reset), and
 * a listener at every address is at the loopback address too, and one on an interface is reached from the gateway itself.
 */
export interface RelayState {
  readonly name: string;
  readonly forwards: readonly WantedForward[];
  readonly egresses: NonNullable<State['egresses']>;
  readonly names: NonNullable<State['names']>;
  readonly unhealthy: NonNullable<State['unhealthy']>;
  /** By name: what the planner says. */
  readonly verdicts: Readonly<Record<string, string>>;
  readonly rows: readonly Row[];
  readonly spreads: readonly Spread[];
}

export function throughRelay(state: State): RelayState {
  // UDP clients of one state keep its sockets while they are known, in the way of the next state's.
  const forwards = state.forwards.map((f) => ({ ...f, spec: { ...f.spec, driver: 'relay' as const, onChange: 'cut' as const } }));
  const verdicts = Object.fromEntries([
    ...forwards.map((f) => [f.name, verdictOf(f, state)]),
    ...(state.egresses ?? []).map((e) => [e.name, state.refused?.[e.name] ?? 'place-egress']),
  ]);
  const relayed = (to: Pick<Row, 'from' | 'proto' | 'to' | 'port'>) => {
    const taker = forwards.find((f) => takes(f, to));
    return taker === undefined ? 'nobody' : verdicts[taker.name] === 'relay' ? 'relay' : 'another';
  };
  return {
    name: state.name,
    forwards,
    egresses: state.egresses ?? [],
    names: state.names ?? {},
    unhealthy: state.unhealthy ?? [],
    verdicts,
    rows: state.rows.flatMap((row) => {
      const by = relayed(row);
      if (by === 'another' && !isRefused(row, state)) return [];
      if (by === 'relay' && NETS.some((n) => n.loopback === row.to)) return [];
      if (row.from === 'gw' && forwards.some((f) => f.spec.listen?.interface !== '' && takes(f, { ...row, from: 'anybody' })))
        return [];
      return [{ ...row, result: resultOf(row, by) }];
    }),
    spreads: (state.spreads ?? []).filter((spread) => relayed(spread) === 'relay'),
  };
}

function verdictOf(forward: WantedForward, { forwards, refused = {} }: State): string {
  const known = refused[forward.name];
  if (known === 'disabled' || known === 'expired') return known;
  if (cannot(forward)) return 'RELAY_CANNOT';
  // Who stood in its way is out of it.
  if (known === 'LISTENER_TAKEN' && forwards.some((f) => f !== forward && cannot(f))) return 'relay';
  if (known !== undefined && known !== 'relay') return known;
  return NETS.some((n) => n.nobody === forward.spec.listen?.address) ? 'ADDRESS_UNKNOWN' : 'relay';
}

/** The relay's documented limits. */
const cannot = ({ spec: { listen, snat, helper, clampMss, takeover } }: WantedForward): boolean =>
  listen?.protocol === 'all' || snat?.mode === 'none' || helper === 'ftp' || clampMss || takeover;

type Asked = Pick<Row, 'proto' | 'to' | 'port'> & { readonly from: TableHost | 'anybody' };

/** Whether the packet would come to this forward's listener. */
function takes({ spec: { listen } }: WantedForward, { from, proto, to, port }: Asked): boolean {
  if (!listen) return false;
  const net = NETS.find((n) => n.cli.includes(':') === to.includes(':'));
  const own = net && [net.vip, net.wan, net.dmzGw, net.lan, net.lan2, net.loopback].includes(to);
  if (listen.address === '' ? !own : listen.address !== to) return false;
  if (listen.interface !== '' && from !== 'anybody' && listen.interface !== ARRIVES[from]) return false;
  if (listen.protocol === 'all') return true;
  const inRange = listen.ports !== undefined && port >= listen.ports.first && port <= listen.ports.last;
  return inRange && proto !== 'icmp' && (listen.protocol ?? '').split('+').includes(proto);
}

/** Whether the table itself says that nobody carries what the row is about. */
const isRefused = (row: Row, { forwards, refused = {} }: State): boolean =>
  forwards.some((f) => refused[f.name] !== undefined && refused[f.name] !== 'relay' && takes(f, row));

function resultOf({ from, port, result, proto }: Row, by: 'relay' | 'nobody' | 'another'): Row['result'] {
  if (result !== 'refused' || from === 'gw') return result;
  if (by === 'relay') return proto === 'tcp' ? 'reset' : 'timeout';
  return LET_IN.some((p) => p === port) ? result : 'timeout';
}
