import type { DriverCondition } from '../driver.js';
import { flowCondition, forwardingCondition } from '../host-conditions.js';
import { FORWARDING_KEYS } from './diff.js';
import { TABLES } from './layout.js';
import type { FamilyObserved, Observed } from './observe.js';
import { filterCondition, type OtherFilters } from './other-filters.js';

/** What is worth telling about the gateway: whose doing forwarding is, whether flows can be removed, and who may drop what we forward. */
export function conditions({ families, flowTrouble, filters }: Observed): DriverCondition[] {
  const six = families.find((f) => f.family === 6);
  // What drops IPv6 is in nobody's way where no IPv6 is forwarded.
  const concerned = six && hasRules(six) ? filters : withoutSix(filters);
  return [switchCondition(families), flowCondition(flowTrouble), filterCondition(concerned)];
}

/** Of the families that something is forwarded in, the one that most is to be said of. */
function switchCondition(families: readonly FamilyObserved[]): DriverCondition {
  const used = families.filter(hasRules);
  const told = used.length > 0 ? used : families.filter((f) => f.family === 4);
  const all = told.map(conditionOf);
  const [first] = all;
  if (!first) throw new Error('no family was observed');
  const worst = all.find((c) => c.status === 'false') ?? all.find((c) => c.reason === 'TURNED_ON_BY_AGENT') ?? first;
  return { ...worst, message: all.map((c) => c.message).join('; ') };
}

const hasRules = ({ tables }: FamilyObserved): boolean => TABLES.some((t) => tables[t].chains.size > 0);

function conditionOf({ family, forwarding }: FamilyObserved): DriverCondition {
  const { message, ...rest } = forwardingCondition(forwarding);
  return { ...rest, message: message.replaceAll(FORWARDING_KEYS[4], FORWARDING_KEYS[family]) };
}

const withoutSix = ({ forward: { 6: _, ...forward }, native, ...rest }: OtherFilters): OtherFilters => ({
  ...rest,
  forward,
  native: native.filter((d) => !d.table.startsWith('ip6 ')),
});
