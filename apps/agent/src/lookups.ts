/** What has to be asked about targets and sources: DNS for names, connections for health. Put together here for the reconciler. */
import { join } from 'node:path';
import type { IpAddress } from '@gwctl/shared/domain/ip';
import type { Logger } from '@gwctl/shared/logging/logger';
import type { Clock, Timer } from './clock.js';
import type { DesiredView } from './desired/types.js';
import type { HealthView } from './planner/planner.js';
import { type Listed, SortedList } from './planner/sorted-list.js';
import { probedPort } from './planner/targets.js';
import type { Health, Judgement, Planned, Resolution } from './planner/types.js';
import { HealthBook, type ProbeTarget } from './probes/health-book.js';
import { openProber } from './probes/open-prober.js';
import type { Lookups } from './reconciler/reconciler.js';
import { CaresClient } from './resolve/dns-client.js';
import { HostFiles } from './resolve/host-naming.js';
import { NameBook } from './resolve/name-book.js';
import { RememberedFile } from './resolve/remembered.js';

/** In the state directory: the last good answers of DNS. */
export const NAMES_FILE = 'names.json';
/** Of targets on whose health nothing depends but what is shown, so many are asked; the others stay unknown. */
const MOST_CALM = 4096;
/** Milliseconds that a change of targets may wait until they are asked, and what they answered until it counts: several come together. */
const GATHER = 250;

export interface TargetLookupsOptions {
  readonly clock: Clock;
  readonly names: Pick<NameBook, 'want' | 'view' | 'onChange' | 'start' | 'stop'>;
  readonly health: Pick<HealthBook, 'want' | 'view' | 'onChange' | 'start' | 'stop'>;
  /** An answer changed: keep it for a next life. Never rejects. */
  readonly remember?: () => Promise<void>;
}

export class TargetLookups implements Lookups {
  readonly #options: TargetLookupsOptions;
  readonly #listeners: (() => void)[] = [];
  #version = 0;
  #judgements: Listed<Judgement> = [];
  readonly #probes = new Probes();
  #gathering: Timer | undefined;
  #settling: Timer | undefined;

  constructor(options: TargetLookupsOptions) {
    this.#options = options;
    options.names.onChange(() => {
      this.#tell();
      void options.remember?.();
    });
    options.health.onChange(() => {
      this.#settling ??= options.clock.after(GATHER, () => {
        this.#settling = undefined;
        this.#version++;
        this.#tell();
      });
    });
  }

  start(): void {
    this.#options.names.start();
    this.#options.health.start();
  }

  stop(): void {
    this.#gathering?.cancel();
    this.#settling?.cancel();
    this.#options.names.stop();
    this.#options.health.stop();
  }

  names(): ReadonlyMap<string, Resolution> {
    return this.#options.names.view();
  }

  readonly health: HealthView = Object.defineProperty(
    { version: 0, of: (address: IpAddress, port: number): Health | undefined => this.#options.health.view(address, port) },
    'version',
    { get: () => this.#version, enumerable: true },
  );

  want(planned: Planned, view: DesiredView): void {
    const before = this.#options.names.view();
    this.#options.names.want(planned.names, view.settings);
    // New names are known by now, if only as not yet resolved.
    if (this.#options.names.view() !== before && planned.names.size > 0) queueMicrotask(() => this.#tell());
    if (planned.judgements === this.#judgements) return;
    this.#judgements = planned.judgements;
    this.#gathering ??= this.#options.clock.after(GATHER, () => {
      this.#gathering = undefined;
      this.#options.health.want(this.#probes.of(this.#judgements));
    });
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** What to ask because of a piece of all judgements. Where there are several targets, flows depend on the answer. */
interface Wishes {
  readonly urgent: readonly ProbeTarget[];
  /** One list for each judgement; undefined where there was no room for any. */
  readonly calm: readonly (readonly ProbeTarget[])[] | undefined;
}

/** Whom to ask, looked for after each change: of tens of thousands of judgements only the pieces of the list that are new are read. */
class Probes {
  readonly #known = new WeakMap<readonly Judgement[], Wishes>();

  of(judgements: Listed<Judgement>): readonly ProbeTarget[] {
    const wanted: ProbeTarget[] = [];
    let room = MOST_CALM;
    for (const piece of SortedList.pieces(judgements)) {
      const { urgent, calm = [] } = this.#wishes(piece, room > 0);
      const some = calm.slice(0, room);
      room -= some.length;
      wanted.push(...urgent, ...some.flat());
    }
    return wanted;
  }

  #wishes(piece: readonly Judgement[], withCalm: boolean): Wishes {
    const known = this.#known.get(piece);
    if (known && (known.calm || !withCalm)) return known;
    const urgent: ProbeTarget[] = [];
    const calm: ProbeTarget[][] = [];
    for (const judgement of piece) {
      const targets = probesOf(judgement);
      if (targets.some((t) => t.urgent)) urgent.push(...targets);
      else if (targets.length > 0 && withCalm) calm.push(targets);
    }
    const wishes = { urgent, calm: withCalm ? calm : undefined };
    this.#known.set(piece, wishes);
    return wishes;
  }
}

function probesOf({ spec, verdict }: Judgement): ProbeTarget[] {
  if ((verdict.kind !== 'place' && verdict.kind !== 'relay') || !spec) return [];
  const port = probedPort(spec);
  if (!port) return [];
  const urgent = verdict.addresses.length > 1;
  return verdict.addresses.map((target) => ({ address: target.address, port: port(target), urgent }));
}

/** The lookups of an agent. Answers of an earlier life are used until there are better ones. */
export async function targetLookups(options: {
  readonly clock: Clock;
  readonly log: Logger;
  /** Where answers are remembered. */
  readonly stateDir: string;
}): Promise<TargetLookups> {
  const { clock, log } = options;
  const file = new RememberedFile(join(options.stateDir, NAMES_FILE));
  const { names: remembered, trouble } = await file.load();
  if (trouble !== undefined) log.warn({ reason: 'NAMES_UNREADABLE' }, trouble);
  const names = new NameBook({
    clock,
    random: Math.random,
    client: new CaresClient({ clock }),
    host: new HostFiles(),
    remembered,
  });
  const health = new HealthBook({ clock, random: Math.random, prober: openProber({ clock, log }) });
  const remember = () =>
    file.save(names.view()).catch((error: unknown) => {
      log.warn({ err: error }, 'the answers of DNS could not be written; a restart without DNS would not know them');
    });
  return new TargetLookups({ clock, names, health, remember });
}
