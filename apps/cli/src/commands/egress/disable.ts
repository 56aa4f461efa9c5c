import { switchCommand } from '../switch.js';

export const disableEgress = switchCommand('egress', false);
