import { openNativeEngine } from '../native/engine.js';
import { integritySize } from './integrity.js';
import { engineSuite } from './suite.js';

engineSuite('native', { open: openNativeEngine, unnamedAddresses: true, interfaces: true }, integritySize(process.env));
