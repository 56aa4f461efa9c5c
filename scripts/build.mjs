// `npm run build`: brings the toolchain and packages, generates and compiles.
import { prepare, say } from './lib/toolchain.mjs';

prepare();
say('ready: bin/gwctl, bin/gwctl-control, bin/gwctl-agent');
