import { addressTextOf, portOf } from '../../system/native/socket-address.js';
import { peerText } from '../core/address.js';
import type { ForwardCounts, RelayFlow } from '../engine.js';
import type { RelayedForward } from '../types.js';
import type { Adopted } from './messages.js';
import type { SharedCounters, SharedOut, Side, TargetNews } from './side.js';
import { Flow } from './tcp-flow.js';
import { type FlowKeeper, TcpForward } from './tcp-forward.js';
import type { Gear } from './tcp-gear.js';

/** Objects of ended flows kept for the next ones. */
const MOST_SPARE = 1024;

/** TCP in one worker. */
export class TcpSide implements Side, FlowKeeper {
  readonly #gear: Gear;
  readonly #forwards = new Map<string, TcpForward>();
  /** Removed, with flows that go on to their end. */
  readonly #leaving = new Set<TcpForward>();
  readonly #spare: Flow[] = [];
  #accepting = true;
  #drained: (() => void) | undefined;
  #open = 0;

  constructor(gear: Gear) {
    this.#gear = gear;
  }

  set(forward: RelayedForward, mine: readonly SharedOut[], shared: SharedCounters): void {
    const has = forward.listen.transports.includes('tcp');
    let carried = this.#forwards.get(forward.uid);
    if (!carried && !has) return;
    if (!carried) {
      carried = new TcpForward(this.#gear, this, forward, shared);
      carried.accept(this.#accepting);
      this.#forwards.set(forward.uid, carried);
    }
    carried.set(forward, mine, shared);
    if (!has) this.#leave(carried, forward.onChange === 'cut');
  }

  remove(uid: string, cut: boolean): void {
    const carried = this.#forwards.get(uid);
    if (carried) this.#leave(carried, cut);
  }

  /** Connections that the main thread accepted. */
  adopt(uid: string, connections: readonly Adopted[]): void {
    const carried = this.#forwards.get(uid);
    for (const { fd, port } of connections) {
      if (carried) carried.adopt(fd, port);
      else this.#gear.libc.close(fd);
    }
  }

  counts(): readonly ForwardCounts[] {
    return [...this.#forwards.values()].map((f) => f.counts()).filter((c) => c !== undefined);
  }

  flows({ uid, most }: { readonly uid?: string; readonly most: number }): readonly RelayFlow[] {
    const found: RelayFlow[] = [];
    for (const forward of [...this.#forwards.values(), ...this.#leaving]) {
      if (uid !== undefined && forward.uid !== uid) continue;
      for (const flow of forward.flows(most - found.length)) {
        const described = this.#describe(forward.uid, flow);
        if (described) found.push(described);
      }
      if (found.length >= most) break;
    }
    return found;
  }

  use() {
    return { connections: this.#open, clients: 0, pipes: this.#gear.pool.count };
  }

  accept(accepting: boolean): void {
    if (accepting === this.#accepting) return;
    this.#accepting = accepting;
    for (const forward of this.#forwards.values()) forward.accept(accepting);
  }

  drained(done: () => void): void {
    // Where there is no successor, nobody else would.
    for (const forward of this.#forwards.values()) forward.acceptAll();
    this.#drained = done;
    this.#tellDrained();
  }

  learn(uid: string, news: TargetNews): void {
    this.#forwards.get(uid)?.places.learn(news);
  }

  stop(): void {
    this.accept(false);
    for (const forward of [...this.#forwards.values(), ...this.#leaving]) forward.abortAll();
    this.#gear.pool.drain();
  }

  flow(): Flow {
    this.#open += 1;
    return this.#spare.pop() ?? new Flow(this.#gear);
  }

  spare(flow: Flow): void {
    this.#open -= 1;
    if (this.#spare.length < MOST_SPARE) this.#spare.push(flow);
    if (this.#drained) this.#tellDrained();
  }

  left(forward: TcpForward): void {
    this.#leaving.delete(forward);
  }

  #leave(carried: TcpForward, cut: boolean): void {
    this.#forwards.delete(carried.uid);
    this.#leaving.add(carried);
    carried.remove(cut);
  }

  #tellDrained(): void {
    if (!this.#drained || this.#open > 0) return;
    const done = this.#drained;
    this.#drained = undefined;
    done();
  }

  #describe(uid: string, flow: Flow): RelayFlow | undefined {
    const listener = this.#gear.name(flow.client, 'getsockname');
    const source = flow.target < 0 ? undefined : this.#gear.name(flow.target, 'getsockname');
    const { place, peer, up, down, distance, openedAt, activeAt } = flow;
    if (!listener || !place) return undefined;
    const { now } = this.#gear.loop;
    const text = (bytes: Uint8Array | undefined) => (bytes ? peerText(addressTextOf(bytes), portOf(bytes)) : '');
    return {
      uid,
      transport: 'tcp',
      client: text(peer),
      listener: text(listener),
      source: text(source),
      target: peerText(place.target.address.text, place.target.port + distance),
      age: now - openedAt,
      idle: now - activeAt,
      bytesToTarget: up.bytes,
      bytesToClient: down.bytes,
    };
  }
}
