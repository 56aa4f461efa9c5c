/** docs/errors.md explains every reason that the planner, the relay and its driver give: operators look there for what the status says. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');
const source = join(root, 'apps/agent/src');
const FOLDERS = ['planner', 'relay', 'drivers/relay', 'drivers/pair', 'system/native'].map((f) => join(source, f));

const isCode = (file: string) => file.endsWith('.ts') && !/\.(spec|fake)\.ts$|\/conformance\/|testing[^/]*\.ts$/.test(file);
const filesUnder = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter(isCode);

/** Words given as a reason, in each of the ways in which the code does that; of conditions those that say that something is well too. */
const GIVEN =
  /\breason:\s*'([A-Z_]+)'|\brefuse\(\s*'([A-Z_]+)'|\bbad\(\s*'\w+',\s*'([A-Z_]+)'|\badd\(\s*'\w+',\s*false,\s*'([A-Z_]+)'/g;

it('names every reason of a relayed forward and of the relay', () => {
  const reasons = new Set<string>();
  for (const file of FOLDERS.flatMap(filesUnder))
    for (const match of readFileSync(file, 'utf8').matchAll(GIVEN)) reasons.add(match.slice(1).find((word) => word) ?? '');
  expect([...reasons]).toEqual(expect.arrayContaining(['RELAY_NEEDED', 'PORT_NOT_PERMITTED', 'RELAY_DOWN', 'UPGRADE_FAILED']));
  const explained = readFileSync(join(root, 'docs/errors.md'), 'utf8');
  expect([...reasons].filter((reason) => !explained.includes(`\`${reason}\``)).sort()).toEqual([]);
});
