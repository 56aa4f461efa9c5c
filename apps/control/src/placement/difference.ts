/** An entry (a forward, an egress, or settings) as it stands on one gateway. */
export interface StandingPlacement {
  readonly gatewayUid: string;
  /** Hash of what the gateway was told. */
  readonly hash: Uint8Array;
}

/** An entry as it should stand on one gateway. */
export interface WantedPlacement {
  readonly gatewayUid: string;
  /** What the gateway is to be told: the encoded entry. */
  readonly desired: Uint8Array;
  readonly hash: Uint8Array;
}

/** What one gateway's desired state must gain, replace or lose. */
export type PlacementChange =
  | ({ readonly kind: 'upsert'; readonly replaces: Uint8Array | undefined } & WantedPlacement)
  | { readonly kind: 'remove'; readonly gatewayUid: string; readonly replaces: Uint8Array };

/** The changes that turn `standing` into `wanted`, in the order of the gateways' uids, which is the order that locks are taken in. */
export function placementDifference(
  standing: readonly StandingPlacement[],
  wanted: readonly WantedPlacement[],
): readonly PlacementChange[] {
  const before = new Map(standing.map((p) => [p.gatewayUid, p.hash]));
  const after = new Set(wanted.map((p) => p.gatewayUid));
  const changes: PlacementChange[] = [];
  for (const placement of wanted) {
    const replaces = before.get(placement.gatewayUid);
    if (!replaces || !equal(replaces, placement.hash)) changes.push({ kind: 'upsert', replaces, ...placement });
  }
  for (const { gatewayUid, hash } of standing)
    if (!after.has(gatewayUid)) changes.push({ kind: 'remove', gatewayUid, replaces: hash });
  return changes.sort((a, b) => (a.gatewayUid < b.gatewayUid ? -1 : 1));
}

const equal = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, i) => byte === b[i]);
