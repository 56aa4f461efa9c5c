import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { DescMethod, DescService } from '@bufbuild/protobuf';

/** Every method of every service of every generated file, so that a new one cannot be forgotten by a test. */
export async function everyMethod(): Promise<readonly DescMethod[]> {
  const one = createRequire(import.meta.url).resolve('@gwctl/proto/gwctl/v1/types_pb');
  const root = join(dirname(one), '..', '..');
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('_pb.js'));
  const modules = await Promise.all(
    files.map((f) => import(pathToFileURL(join(root, f)).href) as Promise<Record<string, unknown>>),
  );
  return modules.flatMap((m) => Object.values(m).filter(isService)).flatMap((service) => service.methods);
}

const isService = (value: unknown): value is DescService =>
  typeof value === 'object' && value !== null && (value as { kind?: unknown }).kind === 'service';
