import { switchCommand } from '../switch.js';

export const enableForward = switchCommand('forward', true);
