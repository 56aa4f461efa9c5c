import { switchCommand } from '../switch.js';

export const enableEgress = switchCommand('egress', true);
