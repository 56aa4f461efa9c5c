/** Revisions of one gateway that are remembered while they wait for the agent's word. */
const MAX_WAITING = 1_000;

/** When revisions were committed, to say how long the way to the gateway took. In memory: it is a measure, not a fact of the model. */
export class RevisionTimes {
  private readonly waiting = new Map<string, Map<bigint, number>>();

  /** @param at performance.now() when the commit returned. */
  committed(gatewayUid: string, revision: bigint, at: number): void {
    const revisions = this.waiting.get(gatewayUid) ?? new Map<bigint, number>();
    this.waiting.set(gatewayUid, revisions);
    revisions.set(revision, at);
    const [oldest] = revisions.keys();
    if (revisions.size > MAX_WAITING && oldest !== undefined) revisions.delete(oldest);
  }

  /** Milliseconds from commit for every revision up to this one that was waiting. */
  applied(
    gatewayUid: string,
    revision: bigint,
    at: number,
  ): readonly { readonly revision: bigint; readonly sinceCommitMs: number }[] {
    const revisions = this.waiting.get(gatewayUid);
    if (!revisions) return [];
    const done: { revision: bigint; sinceCommitMs: number }[] = [];
    for (const [waiting, since] of revisions) {
      if (waiting > revision) continue;
      revisions.delete(waiting);
      done.push({ revision: waiting, sinceCommitMs: at - since });
    }
    if (revisions.size === 0) this.waiting.delete(gatewayUid);
    return done;
  }
}
