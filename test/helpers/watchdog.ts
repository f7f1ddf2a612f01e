/** Ends a test file when nothing in it ends any more, and says where; test/run.ts has each file preload it. */

import { afterEach, beforeEach } from 'node:test';

/** More than any one test or hook takes on a machine that has a lot to do. */
const PATIENCE_MS = 150_000;

function watch(): void {
  let where = 'before the first test';
  // Kept, for a test may replace it.
  const exit = process.exit.bind(process);
  const timer = setTimeout(() => {
    console.error(
      `${process.argv[1] ?? ''}: nothing has ended for ${String(PATIENCE_MS / 1000)} s: ${where}`,
    );
    // Last, for else the end waits for a thread that is where nothing ends: in open(2) of a named pipe, say.
    process.on('exit', () => process.kill(process.pid, 'SIGKILL'));
    exit(1);
  }, PATIENCE_MS).unref();
  const now = (preposition: string, context: object): void => {
    where = `${preposition} “${'name' in context ? String(context.name) : ''}”`;
    timer.refresh();
  };
  beforeEach((context) => {
    now('in', context);
  });
  afterEach((context) => {
    now('after', context);
  });
}

// The process that runs the files preloads it too.
if (process.env['NODE_TEST_CONTEXT'] !== undefined) watch();
