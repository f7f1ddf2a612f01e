/** Commands that are run in the test's own process, which takes a tenth of what a process of their own does. */

import { AsyncLocalStorage } from 'node:async_hooks';

import { runCommand } from '../../src/cli/command-line.js';
import { reportFailure } from '../../src/cli/exit.js';
import { commandLine } from './bridge.js';

const said = new AsyncLocalStorage<{ stdout: string; stderr: string; readonly encoding: BufferEncoding }>();

for (const name of ['stdout', 'stderr'] as const) {
  const stream = process[name];
  // Each command listens to it.
  stream.setMaxListeners(0);
  const write = stream.write.bind(stream) as (...args: readonly unknown[]) => boolean;
  // The test runner tells of the tests meanwhile.
  stream.write = (chunk: Uint8Array | string, ...rest: unknown[]): boolean => {
    const store = said.getStore();
    if (store === undefined) return write(chunk, ...rest);
    store[name] +=
      typeof chunk === 'string'
        ? chunk
        : Buffer.from(chunk).toString(name === 'stdout' ? store.encoding : 'utf8');
    const done = rest.at(-1);
    if (typeof done === 'function') process.nextTick(done);
    return true;
  };
}

/**
 * What `runBridge` gives, of a command that ends by itself and leaves nothing of this process changed; `encoding` is what
 * bytes of its standard output are taken for.
 */
export async function runHere(
  args: readonly string[],
  encoding: BufferEncoding = 'utf8',
): Promise<{ status: number; stdout: string; stderr: string }> {
  const store = { stdout: '', stderr: '', encoding };
  const before = process.exitCode;
  process.exitCode = undefined;
  const failure = await said.run(store, () =>
    runCommand(commandLine(args).slice(2)).then(() => undefined, reportFailure),
  );
  const status = failure ?? exitCode();
  process.exitCode = before;
  return { status, stdout: store.stdout, stderr: store.stderr };
}

function exitCode(): number {
  return Number(process.exitCode ?? 0);
}
