import { parseName } from '@gwctl/shared/domain/names';
import { err, ok, type Result } from '@gwctl/shared/domain/result';
import { defineCommand, required, value } from '../command/definition.js';
import { readCa, readToken } from '../context/login-files.js';
import { parseServer } from '../flags/server.js';

const DEFAULT_NAME = 'default';

const parsePath = (text: string): Result<string, string> => (text === '' ? err('is empty; name a file') : ok(text));

export const login = defineCommand({
  path: 'login',
  summary: 'Log in to a control plane and keep it as a context',
  description:
    'Asks the control plane who you are before anything is stored. The token comes from a file or from standard input, never from the command line, where others could read it.',
  args: {},
  options: {
    server: required({ placeholder: 'HOST:PORT', summary: 'Where the control plane listens', parse: parseServer }),
    ca: required({
      placeholder: 'FILE',
      summary: 'CA certificate of the control plane, PEM',
      parse: parsePath,
      complete: 'files',
    }),
    tokenFile: required({
      placeholder: 'FILE',
      summary: 'File that holds the token; - for standard input',
      parse: parsePath,
      complete: 'files',
    }),
    context: value({
      placeholder: 'NAME',
      summary: `Name of the context; one of this name is replaced (default ${DEFAULT_NAME})`,
      parse: parseName,
      complete: 'contexts',
    }),
  },
  formats: [],
  connects: true,
  examples: [
    {
      says: 'With the files that gwctl-control wrote at its first start',
      command: 'gwctl login --server 127.0.0.1:7443 --ca DIR/ca.crt --token-file DIR/admin.token',
    },
    {
      says: 'With a token from a password store',
      command: 'pass show gwctl/lab | gwctl login --server control.example.net:7443 --ca ca.crt --token-file - --context lab',
    },
  ],
  async run(context, { options }) {
    const name = options.context ?? DEFAULT_NAME;
    const server = options.server.text;
    const ca = await readCa(options.ca);
    const token = await readToken(context, options.tokenFile);
    const controlPlane = await context.connect({ server, ca, token });
    const me = await controlPlane.system.whoAmI();
    const { contexts } = await context.config.read();
    await context.config.write({
      current: name,
      contexts: [...contexts.filter((c) => c.name !== name), { name, server, ca, token }],
    });
    context.talk(`logged in to ${server} as ${me.name} (${me.role}); context ${name} is in use`);
  },
});
