import { switchCommand } from '../switch.js';

export const disableForward = switchCommand('forward', false);
