import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { FakeControlPlane } from './fake-control-plane.js';
import { Sandbox } from './run.js';

/** What {@link useControlPlane} has: only inside of tests and their hooks. */
export interface Site {
  readonly fake: FakeControlPlane;
  /** As {@link Sandbox.run}. */
  readonly run: Sandbox['run'];
}

/**
 * One control plane for the tests of a file, and a place to run gwctl in that is logged in to it. What a test made is gone after it.
 * @param gateways That are there before each test, with their labels.
 */
export function useControlPlane(gateways: Readonly<Record<string, Record<string, string>>> = {}): Site {
  let fake: FakeControlPlane;
  let sandbox: Sandbox;

  beforeAll(async () => {
    fake = await FakeControlPlane.start();
    sandbox = await Sandbox.make();
    await sandbox.logIn(fake);
  });

  beforeEach(() => {
    for (const [name, labels] of Object.entries(gateways)) fake.addGateway(name, labels);
  });

  afterEach(() => {
    fake.forwards.clear();
    fake.egresses.all.clear();
    fake.gateways.clear();
    fake.events.length = 0;
    fake.server.calls.length = 0;
    fake.pageSize = 1000;
  });

  afterAll(async () => {
    fake.stop();
    await sandbox.remove();
  });

  return {
    get fake() {
      return fake;
    },
    run: (words, options) => sandbox.run(words, options),
  };
}
