import { describe } from 'vitest';
import { bulkSuite } from './bulk.js';
import { changesSuite } from './changes.js';
import { connectingSuite } from './connecting.js';
import { handoverSuite } from './handover.js';
import { type IntegritySize, integritySuite } from './integrity.js';
import { proxySuite } from './proxy.js';
import { removingSuite } from './removing.js';
import type { EngineUnderTest } from './stage.js';
import { tcpSuite } from './tcp.js';
import { udpSuite } from './udp.js';

/** What both engines must do alike, with real sockets on loopback addresses: as unprivileged as anybody. */
export function engineSuite(name: string, under: EngineUnderTest, size: IntegritySize): void {
  describe(`${name} engine`, () => {
    tcpSuite(under);
    bulkSuite(under);
    connectingSuite(under);
    proxySuite(under);
    changesSuite(under);
    removingSuite(under);
    udpSuite(under);
    handoverSuite(under);
    integritySuite(under, size);
  });
}
