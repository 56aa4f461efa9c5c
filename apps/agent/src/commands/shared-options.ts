import { Option } from 'commander';
import { parseDriver, parseFormat } from '../config/options.js';
import { DRIVER_PREFERENCES } from '../drivers/choose.js';

export { logLevelOption, stateDirOption } from './base-options.js';

export const driverOption = () =>
  new Option('--driver <driver>', `how forwards are carried: ${DRIVER_PREFERENCES.join(', ')}`)
    .default('auto')
    .argParser(parseDriver);

export const formatOption = () => new Option('-o, --output <format>', 'text or json').default('text').argParser(parseFormat);

export const socketOption = () =>
  new Option('--socket <path>', 'the status socket (default: run/agent.sock in the state directory)');
