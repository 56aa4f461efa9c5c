/** Words of the command line that every command knows, the relay's too, which loads nothing that it does not need. */
import type { LogLevel } from '@gwctl/shared/logging/logger';
import { InvalidArgumentError } from 'commander';
import { ENGINE_PREFERENCES, type EnginePreference } from '../relay/process/open-engine.js';

export const DEFAULT_STATE_DIR = '/var/lib/gwctl-agent';

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const satisfies readonly LogLevel[];

/** Reads one of these words, and no other. */
export const oneOf =
  <T extends string>(words: readonly T[]) =>
  (value: string): T => {
    const word = words.find((w) => w === value);
    if (word === undefined) throw new InvalidArgumentError(`Use one of ${words.join(', ')}.`);
    return word;
  };

export const parseLogLevel: (value: string) => LogLevel = oneOf(LOG_LEVELS);
export const parseEngine: (value: string) => EnginePreference = oneOf(ENGINE_PREFERENCES);
