/**
 * The structure's rules, each with its reason, checked on every import of the sources. A rule that stands in somebody's way is
 * changed here, with a new reason, or not at all.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');

interface Import {
  /** The importing file, relative to the root. */
  readonly from: string;
  /** What it names; relative specifiers as a path from the root. */
  readonly to: string;
}

function sources(dir: string): string[] {
  return readdirSync(join(root, dir), { withFileTypes: true }).flatMap((entry) => {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) return ['node_modules', 'dist', 'gen', 'generated'].includes(entry.name) ? [] : sources(path);
    return /\.tsx?$/.test(entry.name) ? [path] : [];
  });
}

const files = ['packages', 'apps', 'test', 'bench'].flatMap(sources);
const code = new Map(files.map((f) => [f, readFileSync(join(root, f), 'utf8')]));

const imports: Import[] = files.flatMap((from) => {
  const found = (code.get(from) ?? '').matchAll(
    /(?:^|[\s;}])(?:import|export)\s[^'"`;]*?from\s*['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)|^import\s+['"]([^'"]+)['"]/gm,
  );
  return [...found].map((m) => {
    const to = m[1] ?? m[2] ?? m[3] ?? '';
    return { from, to: to.startsWith('.') ? normalize(join(dirname(from), to)) : to };
  });
});

const isSpec = (file: string) => /\.spec\.ts$/.test(file) || /\/testing\//.test(file);
const under = (file: string, ...dirs: string[]) => dirs.some((d) => file.startsWith(`${d}/`));
const app = (file: string) => /^apps\/([^/]+)\//.exec(file)?.[1];

/** Folders whose code computes and nothing else. */
const PURE = ['packages/shared/src/domain', 'packages/shared/src/diff', 'apps/control/src/placement', 'apps/agent/src/planner'];
const PURE_FILES = [/^apps\/agent\/src\/drivers\/[^/]+\/(render|diff|drift)(\.|\/)/, /^apps\/control\/src\/revisions\/[^/]*core/];
const IMPURE_IMPORT = /^(node:|@nestjs\/|@prisma\/|@grpc\/|pino$|pg$|koffi$)|database\/generated/;
const IMPURE_CODE = /\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(|\bprocess\.|\bsetTimeout\(|\bperformance\.now\(/;

interface Rule {
  readonly rule: string;
  readonly because: string;
  /** Whether an import breaks the rule. */
  readonly broken?: (i: Import) => boolean;
  /** Whether a file's text breaks the rule. */
  readonly brokenBy?: (file: string, text: string) => boolean;
}

const RULES: Rule[] = [
  {
    rule: 'packages never import apps',
    because: 'contracts and domain outlive any one program; the arrow goes proto, packages, apps',
    broken: (i) => under(i.from, 'packages') && (under(i.to, 'apps') || /^@gwctl\/(control|agent|cli)/.test(i.to)),
  },
  {
    rule: 'packages/proto holds generated code only',
    because: 'a hand-written line there would be lost or would drift from the contract',
    broken: (i) => under(i.from, 'packages/proto') && !under(i.from, 'packages/proto/src/gen'),
  },
  {
    rule: 'apps never import each other',
    because: 'they meet over the wire only, so each can be upgraded and tested alone',
    broken: (i) => {
      const mine = app(i.from);
      const theirs = app(i.to) ?? /^@gwctl\/(control|agent|cli)/.exec(i.to)?.[1];
      return mine !== undefined && theirs !== undefined && mine !== theirs;
    },
  },
  {
    rule: 'tests use built programs and public clients, never the sources of an app',
    because:
      'what users run is what is tested; only the packet table loads a built driver, since it is the driver that it measures',
    broken: (i) => under(i.from, 'test', 'bench') && /^apps\/[^/]+\/src\//.test(i.to),
  },
  {
    rule: 'pure folders import no I/O, framework or wire',
    because: 'what decides must be testable without a machine, and the same inputs must give the same answer',
    broken: (i) =>
      !isSpec(i.from) && (under(i.from, ...PURE) || PURE_FILES.some((p) => p.test(i.from))) && IMPURE_IMPORT.test(i.to),
  },
  {
    rule: 'pure folders use no clock, no randomness, no process',
    because: 'time and chance come in as arguments, so that tests own them',
    brokenBy: (f, text) => !isSpec(f) && (under(f, ...PURE) || PURE_FILES.some((p) => p.test(f))) && IMPURE_CODE.test(text),
  },
  {
    rule: 'in the agent, child_process only in system/',
    because: 'one door to the operating system: argv arrays, no shell, a time-out on every call',
    broken: (i) =>
      under(i.from, 'apps/agent') &&
      !isSpec(i.from) &&
      /^(node:)?child_process$/.test(i.to) &&
      !under(i.from, 'apps/agent/src/system'),
  },
  {
    rule: "koffi only in the agent's system/libc.ts",
    because: 'calls into libc are the other door to the operating system: one place loads it and says where it cannot be had',
    broken: (i) => i.to === 'koffi' && !isSpec(i.from) && i.from !== 'apps/agent/src/system/libc.ts',
  },
  {
    rule: 'Prisma only in *.repository.ts and database/',
    because: 'the queries that a feature runs can be read in one place and reviewed as SQL',
    broken: (i) =>
      under(i.from, 'apps') &&
      !isSpec(i.from) &&
      /^@prisma\/|database\/generated/.test(i.to) &&
      !/\.repository\.ts$|\/database\//.test(i.from),
  },
  {
    rule: 'process.env only in config/',
    because: 'the environment is input: parsed once, into one typed object',
    brokenBy: (f, text) => under(f, 'apps', 'packages') && !isSpec(f) && /process\.env\b/.test(text) && !/\/config\//.test(f),
  },
  {
    rule: 'drivers know neither each other nor the reconciler',
    because: 'a rule builder shared by two drivers takes the shape of the first; they share the desired state only',
    broken: (i) => {
      const mine = /^apps\/agent\/src\/drivers\/([^/]+)\//.exec(i.from)?.[1];
      if (!mine || isSpec(i.from)) return false;
      const theirs = /^apps\/agent\/src\/drivers\/([^/]+)\//.exec(i.to)?.[1];
      return (theirs !== undefined && theirs !== mine) || under(i.to, 'apps/agent/src/reconciler', 'apps/agent/src/control-link');
    },
  },
  {
    rule: 'wire types stop at mappers',
    because: 'the domain must not change shape because a message gained a field',
    broken: (i) =>
      /^@gwctl\/proto\/gwctl\//.test(i.to) &&
      !isSpec(i.from) &&
      !under(i.from, 'test', 'bench', 'packages/shared/src/wire', 'packages/shared/src/grpc', 'packages/shared/src/testing') &&
      !WIRE_PLACES.some((p) => p.test(i.from)),
  },
  {
    rule: 'no file is named manager, helper or util',
    because: 'such a name says nothing, so such a file takes everything',
    brokenBy: (f) => /(^|[/.-])(manager|helpers?|utils?)\.tsx?$/i.test(f),
  },
];

/** Where messages of the contract are read or written: the edges of each program. */
const WIRE_PLACES = [
  /^apps\/control\/src\/[^/]+\/[^/]*\.(grpc|mapper)\.ts$/,
  /^apps\/control\/src\/(sessions|grpc|auth|health)\//,
  /^apps\/agent\/src\/(control-link|identity)\//,
  /^apps\/agent\/src\/desired\/[^/]*(codec|mapper|entry)[^/]*\.ts$/,
  /^apps\/cli\/src\//,
];

describe('dependency rules', () => {
  it('see the imports (the check itself works)', () => {
    expect(imports.length).toBeGreaterThan(200);
    expect(imports).toContainEqual({ from: 'packages/shared/src/domain/forward.ts', to: 'packages/shared/src/domain/ip.js' });
  });

  it.each(RULES)('$rule: $because', ({ broken, brokenBy }) => {
    const byImport = broken ? imports.filter(broken).map((i) => `${i.from} imports ${i.to}`) : [];
    const byText = brokenBy ? files.filter((f) => brokenBy(f, code.get(f) ?? '')).map((f) => relative('.', f)) : [];
    expect([...byImport, ...byText]).toEqual([]);
  });
});
