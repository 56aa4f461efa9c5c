import type { IpAddress } from '@gwctl/shared/domain/ip';
import type { Clock } from '../clock.js';
import type { ProbeOutcome, Prober } from './prober.js';

/** Targets that answer what a test tells them to, after the time that takes. Up in 1 ms unless told. */
export class FakeProber implements Prober {
  readonly #clock: Clock;
  readonly #says = new Map<string, { readonly outcome: ProbeOutcome; readonly ms: number }>();
  /** When what was probed, in order: monotonic milliseconds. */
  readonly probed: { readonly target: string; readonly at: number }[] = [];
  open = 0;
  most = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  say(target: string, outcome: ProbeOutcome, ms = 1): void {
    this.#says.set(target, { outcome, ms });
  }

  up(target: string, rttUs = 1000): void {
    this.say(target, { kind: 'up', rttUs });
  }

  refuse(target: string): void {
    this.say(target, { kind: 'down', why: 'refused by the target' });
  }

  silence(target: string): void {
    this.say(target, { kind: 'down', why: 'no answer within 2 s' }, 2000);
  }

  times(target: string): number {
    return this.probed.filter((p) => p.target === target).length;
  }

  async probe(address: IpAddress, port: number): Promise<ProbeOutcome> {
    const target = `${address.text} ${port}`;
    this.probed.push({ target, at: this.#clock.monotonic() });
    this.open++;
    this.most = Math.max(this.most, this.open);
    const { outcome, ms } = this.#says.get(target) ?? { outcome: { kind: 'up', rttUs: 1000 } as const, ms: 1 };
    await new Promise<void>((resolve) => this.#clock.after(ms, resolve));
    this.open--;
    return outcome;
  }
}
