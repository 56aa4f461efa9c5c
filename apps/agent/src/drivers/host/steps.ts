import type { AddressOn } from '../../system/virtual-addresses.js';
import type { Step } from '../driver.js';

/** Parts of the kernel that are to be loaded. */
export interface ModulesStep extends Step {
  readonly kind: 'host-modules';
  readonly names: readonly string[];
}

/** Virtual addresses that go, before any rule of theirs: nobody is to reach the gateway's own services by them. */
export interface RemoveAddressesStep extends Step {
  readonly kind: 'host-remove-addresses';
  readonly addresses: readonly AddressOn[];
}

/** Virtual addresses that come, and are announced, once the rules are there; before that where the relay is to listen on them. */
export interface AddAddressesStep extends Step {
  readonly kind: 'host-add-addresses';
  readonly addresses: readonly AddressOn[];
}

/** Kernel parameters that are to be held at their value, or go back to what they were. */
export interface SysctlsStep extends Step {
  readonly kind: 'host-sysctls';
  readonly to: 'held' | 'restored';
  readonly keys: readonly string[];
}

export type BeforeStep = ModulesStep | RemoveAddressesStep | AddAddressesStep;
export type AfterStep = SysctlsStep | AddAddressesStep;
export type HostStep = BeforeStep | AfterStep;

/** What is wanted before and after the rules, in order. */
export interface HostPlan {
  readonly before: readonly BeforeStep[];
  readonly after: readonly AfterStep[];
}

const KINDS: ReadonlySet<string> = new Set<HostStep['kind']>([
  'host-modules',
  'host-remove-addresses',
  'host-add-addresses',
  'host-sysctls',
]);

export const isHostStep = (step: Step): step is HostStep => KINDS.has(step.kind);
