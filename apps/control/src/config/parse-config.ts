import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseIp } from '@gwctl/shared/domain/ip';
import { parseDnsName } from '@gwctl/shared/domain/names';
import { err, ok, quote, type Result } from '@gwctl/shared/domain/result';
import type { LogLevel } from '@gwctl/shared/logging/logger';
import type { Config, DatabaseConfig, ListenAddress } from './config.js';

/** The flags of `gwctl-control serve` as commander hands them over. */
export interface ServeFlags {
  readonly dataDir?: string;
  readonly databaseUrl?: string;
  readonly databaseUrlFile?: string;
  readonly listen: string;
  readonly advertise: readonly string[];
  readonly http: string;
  readonly logLevel: string;
}

export type Environment = Readonly<Record<string, string | undefined>>;

const LOG_LEVELS: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

/** The environment of this process: the one place that reads it. */
export const processEnvironment = (): Environment => process.env;

/** Checks flags and environment. The error lists every problem; it names secrets but never shows their values. */
export function parseConfig(flags: ServeFlags, environment: Environment): Result<Config, readonly string[]> {
  const problems: string[] = [];
  const take = <T>(name: string, result: Result<T, string>): T | undefined => {
    if (result.ok) return result.value;
    problems.push(`${name}: ${result.error}`);
    return undefined;
  };
  const dataDir = flags.dataDir ? resolve(flags.dataDir) : undefined;
  if (!dataDir) problems.push('--data-dir: is missing; name the directory that keeps the CA, the first token and the database');
  const database = parseDatabase(flags, environment, problems);
  const listen = take('--listen', parseAddress(flags.listen));
  const http = take('--http', parseAddress(flags.http));
  const advertise = flags.advertise.map((text) => take('--advertise', parseAdvertised(text)));
  const logLevel = LOG_LEVELS.find((level) => level === flags.logLevel);
  if (!logLevel) problems.push(`--log-level: ${quote(flags.logLevel)} is not a level; use one of ${LOG_LEVELS.join(', ')}`);
  if (listen && http && listen.port !== 0 && listen.host === http.host && listen.port === http.port)
    problems.push(`--http: ${flags.http} is the same as --listen; choose another port`);
  if (listen && advertise.length === 0 && isWildcard(listen.host))
    problems.push(
      `--advertise: is missing; ${flags.listen} is every address, so say HOST:PORT by which agents reach this machine`,
    );
  if (problems.length > 0 || !dataDir || !database || !listen || !http || !logLevel) return err(problems);
  return ok({ dataDir, database, listen, http, logLevel, advertise: advertise.filter((a) => a !== undefined) });
}

function parseDatabase(flags: ServeFlags, environment: Environment, problems: string[]): DatabaseConfig | undefined {
  const fromEnvironment = environment.GWCTL_DATABASE_URL;
  const given = [
    flags.databaseUrl === undefined ? undefined : '--database-url',
    flags.databaseUrlFile === undefined ? undefined : '--database-url-file',
    fromEnvironment === undefined ? undefined : 'GWCTL_DATABASE_URL',
  ].filter((name) => name !== undefined);
  if (given.length === 0) return { kind: 'embedded' };
  if (given.length > 1) {
    problems.push(`${given.join(' and ')}: say the database once`);
    return undefined;
  }
  const name = given[0] ?? '';
  let url = flags.databaseUrl ?? fromEnvironment ?? '';
  if (flags.databaseUrlFile !== undefined) {
    try {
      url = readFileSync(flags.databaseUrlFile, 'utf8').trim();
    } catch (error) {
      problems.push(`--database-url-file: cannot read ${quote(flags.databaseUrlFile)}: ${(error as Error).message}`);
      return undefined;
    }
  }
  const protocol = URL.canParse(url) ? new URL(url).protocol : '';
  if (protocol === 'postgresql:' || protocol === 'postgres:') return { kind: 'url', url };
  problems.push(`${name}: is not a PostgreSQL URL; write one like postgresql://USER:PASSWORD@HOST:5432/DATABASE`);
  return undefined;
}

/** Reads `HOST:PORT`, with an IPv6 host in brackets. */
export function parseAddress(text: string): Result<ListenAddress, string> {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const example = 'write HOST:PORT, for instance 127.0.0.1:7443 or [::1]:7443';
  if (!match || port > 65535) return err(`${quote(text)} is not an address; ${example}`);
  const host = match[1] ?? match[2] ?? '';
  const valid = match[1] ? parseIp(host) : host === '0.0.0.0' || parseIp(host).ok ? ok(host) : parseDnsName(host);
  return valid.ok ? ok({ host, port }) : err(`${quote(text)} is not an address; ${example}`);
}

function parseAdvertised(text: string): Result<ListenAddress, string> {
  const address = parseAddress(text);
  if (!address.ok) return address;
  if (address.value.port === 0) return err(`${quote(text)} has port 0; name the port that agents connect to`);
  if (isWildcard(address.value.host)) return err(`${quote(text)} is no address that an agent could connect to`);
  return address;
}

const isWildcard = (host: string): boolean => host === '0.0.0.0' || host === '::';
