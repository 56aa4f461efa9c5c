/** The control plane itself, as people and programs see it. */
export interface SystemStatusResource {
  readonly version: string;
  /** The database's random id: changes when a backup is restored. */
  readonly epoch: string;
  readonly startTime?: string;
  readonly gateways: number;
  readonly gatewaysConnected: number;
  /** How many placements are in each state. */
  readonly placements: Readonly<Record<string, number>>;
}

export interface Identity {
  readonly name: string;
  readonly role: string;
}
