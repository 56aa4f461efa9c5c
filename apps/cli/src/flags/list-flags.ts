import { flag, value } from '../command/definition.js';
import { parseLimit } from './number.js';

/** Flags of every list. */
export const listOptions = {
  limit: value({ placeholder: 'N', summary: 'Show at most so many (default all)', parse: parseLimit }),
  noHeaders: flag({ summary: 'Leave out the line of column titles' }),
};
