import { Option } from 'commander';
import { DEFAULT_STATE_DIR, parseDriver, parseFormat, parseLogLevel } from '../config/options.js';
import { DRIVER_PREFERENCES } from '../drivers/choose.js';

export const stateDirOption = () =>
  new Option('--state-dir <dir>', 'where the agent keeps its identity and the desired state').default(DEFAULT_STATE_DIR);

export const driverOption = () =>
  new Option('--driver <driver>', `how forwards are carried: ${DRIVER_PREFERENCES.join(', ')}`)
    .default('auto')
    .argParser(parseDriver);

export const formatOption = () => new Option('-o, --output <format>', 'text or json').default('text').argParser(parseFormat);

export const logLevelOption = () =>
  new Option('--log-level <level>', 'trace, debug, info, warn, error, fatal or silent').default('info').argParser(parseLogLevel);

export const socketOption = () =>
  new Option('--socket <path>', 'the status socket (default: run/agent.sock in the state directory)');
