/**
 * Runs test files, several at once; ends with status 1 when a test has failed. To be started with
 * `--import ./dist/test/helpers/watchdog.js`, which the files' processes get from here.
 */

import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { run } from 'node:test';
import { spec, tap } from 'node:test/reporters';
import { parseArgs } from 'node:util';

import { readableTop } from './helpers/package-copy.js';

/** What takes longest, longest first: begun last, one of them would keep one processor while the others have nothing to do. */
const longest = [
  ...['web-servers', 'several-machines', 'hg-browser', 'rc', 'hg-pages', 'hg-warm', 'demo', 'git-browser'],
  ...['hg-clients', 'upgrade', 'git-clients', 'worker-gitweb', 'install', 'hg-load', 'git-pages', 'soak'],
  ...['without-linux', 'memory', 'bench', 'warm-load', 'gitweb-options', 'git-push', 'git-settings'],
];
/** Tests wait for processes and clocks, so that there is work for more of them than there are processors. */
const CONCURRENCY = availableParallelism() + 1;
/** Of a file, where its own watchdog can do nothing. */
const FILE_MS = 900_000;

const rank = (file: string): number => {
  const index = longest.findIndex((name) => file.endsWith(`/${name}.test.js`));
  return index >= 0 ? index : longest.length + (file.includes('/e2e/') ? 0 : 1);
};

/** What failed of these files: a line for each test, by its file. */
async function failuresOf(files: readonly string[], concurrency: number): Promise<Map<string, string[]>> {
  const failures = new Map<string, string[]>();
  const tests = run({ files: [...files], concurrency, timeout: FILE_MS });
  tests.on('test:fail', ({ todo, name, file, details: { error } }) => {
    if (todo !== undefined && todo !== false) return;
    const where = file ?? name;
    const why = error.cause instanceof Error ? error.cause.message : error.message;
    const line = `${name}: ${why.split('\n', 1)[0] ?? ''}`;
    failures.set(where, [...(failures.get(where) ?? []), line]);
  });
  const report = process.stdout.isTTY ? tests.pipe(new spec()) : tests.compose<NodeJS.ReadableStream>(tap);
  report.pipe(process.stdout, { end: false });
  await once(report, 'end');
  return failures;
}

/** At the very end, for a reader who sees only that. */
function list(title: string, failures: ReadonlyMap<string, string[]>): void {
  if (failures.size === 0) return;
  console.log(`# ${title}`);
  for (const [file, lines] of failures) console.log([file, ...lines].join('\n#   '));
}

// One for all files.
readableTop();
const { values, positionals } = parseArgs({
  options: { again: { type: 'boolean' } },
  allowPositionals: true,
});
const files = positionals.sort((one, other) => rank(one) - rank(other));
const failures = await failuresOf(files, CONCURRENCY);
let lasting = failures;
if (values.again === true && failures.size > 0) {
  lasting = await failuresOf([...failures.keys()], 1);
  list('failed beside other tests:', failures);
}
list('failed:', lasting);
process.exitCode = lasting.size > 0 ? 1 : 0;
// What a file that hung has started may hold its output open, and be read from for ever.
setTimeout(() => {
  process.exit();
}, 2_000).unref();
