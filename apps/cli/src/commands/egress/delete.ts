import { deleteCommand } from '../deletion.js';

export const deleteEgress = deleteCommand(
  'egress',
  'Flows that were translated end with it. With --wait the command ends when the gateways say that they are gone.',
  [{ says: 'One, and wait until its gateway says that it is gone', command: 'gwctl egress delete lan-out --wait' }],
);
