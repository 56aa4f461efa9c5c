/** What a spec and host-main.ts say to each other: JSON lines. Types only. */

export interface HostWanted {
  /** Address and interface. */
  readonly announced: readonly (readonly [string, string])[];
  /** Networks that a target and its clients share. */
  readonly hairpins?: readonly string[];
  readonly ftp?: boolean;
  /** TCP; default one that nobody else has. */
  readonly listeners?: readonly { readonly address: string; readonly port: number }[];
}

/** As the agent asks for flows. */
export interface WantedFlows {
  readonly family?: 4 | 6;
  readonly protocol: 'tcp' | 'udp' | 'any';
  readonly address?: string;
  readonly port?: number;
  readonly ports?: { readonly first: number; readonly last: number };
  readonly to?: { readonly address: string; readonly port?: number };
  readonly notTo?: { readonly address: string; readonly port?: number };
  readonly sourcesOutside?: readonly string[];
}

export type HostCommand =
  | { op: 'want'; wanted: HostWanted }
  | { op: 'look' }
  | { op: 'cleanUp' }
  | { op: 'watch' }
  /** How often the watch told of something since the last such question. */
  | { op: 'seen' }
  | { op: 'forwarding6'; on: boolean }
  /** Sends one router advertisement. */
  | { op: 'advertise'; interface: string }
  | { op: 'flows'; matches: readonly WantedFlows[] }
  | { op: 'removeFlows'; matches: readonly WantedFlows[] }
  | { op: 'probe' };

export interface LookedAtHost {
  readonly ms: number;
  readonly drift: readonly string[];
  readonly conditions: Readonly<Record<string, string>>;
  readonly findings: readonly string[];
  /** The host's own addresses, as planning sees them. */
  readonly planned: readonly string[];
}

export interface SeenFlow {
  readonly protocol: 'tcp' | 'udp' | number;
  readonly to: string;
  readonly port: number;
  readonly from: string;
  readonly target: string;
}
