import { describe, expect, it } from 'vitest';
import { createLogger } from './logger.js';

describe('logger', () => {
  it('never writes the fields that hold secrets', () => {
    const lines: string[] = [];
    const logger = createLogger({ name: 'x', destination: { write: (line) => void lines.push(line) } });
    logger.info({ token: 'canary', request: { authorization: 'canary', joinString: 'canary' }, gateway: 'gw1' }, 'hello');
    expect(lines.join('')).not.toContain('canary');
    expect(lines.join('')).toContain('gw1');
  });
});
