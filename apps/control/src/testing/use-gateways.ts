import { GatewayService } from '@gwctl/proto/gwctl/v1/gateway_pb';
import { afterAll, beforeAll, beforeEach } from 'vitest';
import { startControl, type TestControl } from './control.js';

/**
 * One control plane for the tests of a group, and a gateway of its own for each of them: gw-1, gw-2, ...
 * @param take Is given both before each test.
 * @param tables Those of which `counts` tells the rows, beside the sum of all revisions: what a refused change leaves as it was.
 */
export function useGateways(
  take: (both: { readonly control: TestControl; readonly gateway: string }) => void,
  tables: readonly string[],
) {
  let control: TestControl;
  let gateway = '';
  let gateways = 0;
  beforeAll(async () => {
    control = await startControl();
  });
  afterAll(() => control.close());
  beforeEach(async () => {
    gateway = `gw-${++gateways}`;
    await control.call(GatewayService.method.createGateway, { gateway: { name: gateway } });
    take({ control, gateway });
  });
  return {
    /** A name that no other test uses. */
    named: (n: string) => `${gateway}-${n}`,
    counts: async () => {
      const select = tables.map((t) => `(SELECT count(*)::int FROM ${t}) AS ${t}`).join(', ');
      return (await control.database.sql.query(`SELECT ${select}, (SELECT sum(revision)::int FROM desired_states) AS revisions`))
        .rows[0];
    },
  };
}
