// `npm run lint` and `npm run format`: one linter and formatter for TypeScript, one for the protos.
import { prepare, run } from './lib/toolchain.mjs';

prepare();
run(['biome', 'check', '--error-on-warnings', ...(process.argv.includes('--fix') ? ['--write'] : []), '.']);
run(['tsc', '-p', 'test', '--noEmit']);
run(['buf', 'lint']);
// The baseline is the contract as last released; rewrite it with a release: buf build -o proto/baseline.binpb
run(['buf', 'breaking', '--against', 'proto/baseline.binpb']);
