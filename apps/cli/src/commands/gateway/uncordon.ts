import { cordonCommand } from './cordon-switch.js';

export const uncordonGateway = cordonCommand(false);
