import { AllowList } from '../core/allow.js';
import { Tally } from '../core/counts.js';
import { Targets } from '../core/targets.js';
import { blamesTarget, connectTrouble } from '../core/trouble.js';
import { targetKey } from '../engine.js';
import type { RelayedForward, RelayTarget } from '../types.js';
import { SharedLimits } from './shared-limits.js';
import type { SharedCounters, SideHost, TargetNews } from './side.js';
import type { UdpAssociation } from './udp-association.js';

/** One forward in one worker: what all its listening sockets and clients share. */
export class UdpCarrier {
  readonly tally = new Tally();
  readonly associations = new Set<UdpAssociation>();
  readonly #host: SideHost;
  forward: RelayedForward;
  targets: Targets;
  allow: AllowList;
  limits: SharedLimits;

  constructor(host: SideHost, forward: RelayedForward, shared: SharedCounters) {
    this.#host = host;
    this.forward = forward;
    this.targets = new Targets(forward);
    this.allow = new AllowList(forward.allow);
    this.limits = new SharedLimits(shared.memory, forward);
  }

  update(forward: RelayedForward, shared: SharedCounters): void {
    this.forward = forward;
    this.targets = new Targets(forward, this.targets);
    this.allow = new AllowList(forward.allow);
    if (shared.memory === this.limits.memory) this.limits.caps = forward;
    else {
      this.limits = new SharedLimits(shared.memory, forward);
      for (const { client } of this.associations) this.limits.count(client, 0, client.length);
    }
  }

  /** An association ended. */
  left(association: UdpAssociation): void {
    const { client, target } = association;
    this.associations.delete(association);
    this.tally.closed(target);
    this.tally.open -= 1;
    this.limits.leave(client, 0, client.length);
  }

  /** The target answered; `rttUs`: how long its first answer took. */
  reached(target: RelayTarget, rttUs: number): void {
    const us = Math.round(rttUs);
    if (!this.targets.succeeded(target, us)) return;
    this.#host.changed(this.forward.uid, { target: targetKey(target), healthy: true, rttUs: us });
  }

  /** `port`: the one that was tried, which is another than the target's where the listener is a range. */
  missed(target: RelayTarget, port: number, code: string, now: number): void {
    if (!blamesTarget(code)) return;
    const trouble = connectTrouble({ address: target.address.text, port }, code);
    if (!this.targets.failed(target, now, trouble)) return;
    this.#host.changed(this.forward.uid, { target: targetKey(target), healthy: false, trouble });
  }

  learn(news: TargetNews, now: number): void {
    const target = this.forward.targets.find((t) => targetKey(t) === news.target);
    if (!target) return;
    if (news.healthy) this.targets.succeeded(target, news.rttUs ?? 0);
    else this.targets.failed(target, now, news.trouble ?? '');
  }
}
