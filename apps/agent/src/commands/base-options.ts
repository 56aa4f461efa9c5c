import { Option } from 'commander';
import { DEFAULT_STATE_DIR, parseEngine, parseLogLevel } from '../config/words.js';

export const stateDirOption = () =>
  new Option('--state-dir <dir>', 'where the agent keeps its identity and the desired state').default(DEFAULT_STATE_DIR);

export const logLevelOption = () =>
  new Option('--log-level <level>', 'trace, debug, info, warn, error, fatal or silent').default('info').argParser(parseLogLevel);

export const engineOption = () =>
  new Option(
    '--engine <engine>',
    'native calls functions of the C library, portable does without; auto takes native where it works',
  )
    .default('auto')
    .argParser(parseEngine);
