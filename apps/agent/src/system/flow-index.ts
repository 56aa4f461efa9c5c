import type { Family } from '@gwctl/shared/domain/ip';
import { type Flow, type FlowMatch, matches, portsOf } from './flows.js';

/** Ranges are found by blocks of this many ports: a few entries for a wide one, a few candidates for a port. */
const BLOCK_BITS = 6;
const NONE: readonly FlowMatch[] = [];

/** By number of the port, or of the block of ports. */
type ByNumber = Map<number, FlowMatch[]>;

/** The matches of one family and listener address. */
interface Listeners {
  readonly single: ByNumber;
  readonly blocks: ByNumber;
  /** Of every port. */
  readonly whole: FlowMatch[];
}

/** What is known of a flow before all of it is taken apart. */
export interface FlowListener {
  readonly family: Family;
  readonly destination: string;
  readonly destinationPort: number;
}

/** Tells which of many matches a flow may meet, so that a long table and thousands of changed forwards are one walk, not a product. */
export class FlowIndex {
  readonly #byAddress = new Map<string, Listeners>();
  readonly #anyAddress: Readonly<Record<Family, Listeners>> = { 4: none(), 6: none() };
  readonly families: ReadonlySet<Family>;

  constructor(wanted: readonly FlowMatch[]) {
    this.families = new Set(wanted.map((m) => m.family ?? 4));
    for (const match of wanted) add(this.#listeners(match), match);
  }

  /** Those that a flow to this listener may meet, its protocol and target aside. */
  *candidates(flow: FlowListener): Generator<FlowMatch> {
    const any = this.#anyAddress[flow.family];
    yield* found(any, flow.destinationPort);
    const own = this.#byAddress.get(flow.destination);
    if (own) yield* found(own, flow.destinationPort);
  }

  /** Whether there is any candidate: what most flows of a busy gateway end with. */
  concerns(flow: FlowListener): boolean {
    const { destinationPort: port } = flow;
    const own = this.#byAddress.get(flow.destination);
    return has(this.#anyAddress[flow.family], port) || (own !== undefined && has(own, port));
  }

  /** The matches that the flow meets. */
  of(flow: Flow): FlowMatch[] {
    const { destination, destinationPort } = flow.original;
    return [...this.candidates({ family: flow.family ?? 4, destination, destinationPort })].filter((m) => matches(flow, m));
  }

  #listeners(match: FlowMatch): Listeners {
    if (match.address === undefined) return this.#anyAddress[match.family ?? 4];
    let own = this.#byAddress.get(match.address);
    if (!own) {
      own = none();
      this.#byAddress.set(match.address, own);
    }
    return own;
  }
}

const none = (): Listeners => ({ single: new Map(), blocks: new Map(), whole: [] });

function add(listeners: Listeners, match: FlowMatch): void {
  const ports = portsOf(match);
  if (!ports) listeners.whole.push(match);
  else if (ports.first === ports.last) push(listeners.single, ports.first, match);
  else
    for (let block = ports.first >> BLOCK_BITS; block <= ports.last >> BLOCK_BITS; block++) push(listeners.blocks, block, match);
}

function push(into: ByNumber, number: number, match: FlowMatch): void {
  const there = into.get(number);
  if (there) there.push(match);
  else into.set(number, [match]);
}

function* found({ single, blocks, whole }: Listeners, port: number): Generator<FlowMatch> {
  yield* single.get(port) ?? NONE;
  yield* blocks.get(port >> BLOCK_BITS) ?? NONE;
  yield* whole;
}

const has = ({ single, blocks, whole }: Listeners, port: number): boolean =>
  whole.length > 0 || single.has(port) || blocks.has(port >> BLOCK_BITS);
