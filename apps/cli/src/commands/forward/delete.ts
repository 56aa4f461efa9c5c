import { deleteCommand } from '../deletion.js';

export const deleteForward = deleteCommand(
  'forward',
  'What happens to their flows is what each says with --on-change. With --wait the command ends when every gateway says that they are gone.',
  [
    { says: 'One, and wait until its gateway says that it is gone', command: 'gwctl forward delete web --wait' },
    { says: 'Several', command: 'gwctl forward delete web dns games' },
  ],
);
