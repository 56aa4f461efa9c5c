import { openPortableEngine } from '../portable/engine.js';
import { integritySize } from './integrity.js';
import { engineSuite } from './suite.js';

engineSuite(
  'portable',
  { open: (options) => openPortableEngine(options), unnamedAddresses: false, interfaces: false },
  integritySize(process.env),
);
