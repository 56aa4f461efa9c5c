import type { DriverCondition } from '../driver.js';
import { flowCondition, forwardingConditions } from '../host-conditions.js';
import { CHAINS, TABLES } from './layout.js';
import type { FamilyObserved, Observed } from './observe.js';
import { filterCondition, type OtherFilters, type OtherHook } from './other-filters.js';

/** What is worth telling about the gateway: whose doing forwarding is, whether flows can be removed, and who may drop what we forward. */
export function conditions({ families, flowTrouble, filters }: Observed): DriverCondition[] {
  const six = families.find((f) => f.family === 6);
  // What drops IPv6 is in nobody's way where no IPv6 is forwarded.
  const concerned = six && hasRules(six) ? filters : withoutSix(filters);
  const facts = [switchCondition(families), flowCondition(flowTrouble), filterCondition(concerned)];
  if (!families.some(letsIn)) return facts;
  const input = six && letsIn(six) ? filters.input : hookWithoutSix(filters.input);
  return [...facts, filterCondition({ ...filters, input }, 'INPUT')];
}

/** Whether the relay listens there. */
const letsIn = ({ tables }: FamilyObserved): boolean => tables.filter.chains.has(CHAINS.input);

/** Of the families that something is forwarded in. */
function switchCondition(families: readonly FamilyObserved[]): DriverCondition {
  const used = families.filter(hasRules);
  return forwardingConditions(used.length > 0 ? used : families.filter((f) => f.family === 4));
}

const hasRules = ({ tables }: FamilyObserved): boolean => TABLES.some((t) => tables[t].chains.size > 0);

const withoutSix = (filters: OtherFilters): OtherFilters => ({ ...filters, ...hookWithoutSix(filters) });

const hookWithoutSix = ({ forward: { 6: _, ...forward }, native }: OtherHook): OtherHook => ({
  forward,
  native: native.filter((d) => !d.table.startsWith('ip6 ')),
});
