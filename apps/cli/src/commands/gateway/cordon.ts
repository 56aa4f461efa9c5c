import { cordonCommand } from './cordon-switch.js';

export const cordonGateway = cordonCommand(true);
