/**
 * Runs test files, several at once; ends with status 1 when a test has failed. To be started with
 * `--import ./dist/test/helpers/watchdog.js`, which the files' processes get from here.
 */

import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { run } from 'node:test';
import { spec, tap } from 'node:test/reporters';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

import { readableTop } from './helpers/package-copy.js';

/** What takes longest, longest first: begun last, one of them would keep one processor while the others have nothing to do. */
const longest = [
  ...['web-servers', 'several-machines', 'examples', 'hg-browser', 'rc', 'hg-warm', 'prepared', 'hg-pages'],
  ...['hg-clients', 'warm-endings'],
  ...['git-browser', 'setup', 'demo', 'soak', 'upgrade', 'git-clients', 'install', 'worker-gitweb', 'bench'],
  ...['hg-load', 'git-pages', 'without-linux', 'privileges', 'as-user', 'warm-load', 'gitweb-options'],
  ...['git-push', 'git-settings', 'memory', 'debian-package'],
];
/** Tests wait for processes and clocks, so that there is work for more of them than there are processors. */
const CONCURRENCY = availableParallelism() + 1;
/** Of a file, where its own watchdog can do nothing. */
const FILE_MS = 900_000;

const rank = (file: string): number => {
  const index = longest.findIndex((name) => file.endsWith(`/${name}.test.js`));
  return index >= 0 ? index : longest.length + (file.includes('/e2e/') ? 0 : 1);
};

/** A file that takes long, or that has to do with what all in a process have in common, has a process of its own. */
const long = /\/(?:e2e|warm)\//;
const needsProcess =
  /(?<!\.)\bmock\.|\bprocess\.(?:chdir|emit|exit|on|once|pid|umask)\b|\bprocess\.env(?:\[[^\]]*\]|\.\w+)? = |\bdelete process\.env|\bstartBy\(|^\S.*\bawait /m;

/**
 * The same with one in the place of the others of a folder, by which they all run in one process: the start of a process,
 * and what each imports, take longer than most of them. `groups` has those of each.
 */
function grouped(files: readonly string[], directory: string, groups: Map<string, string[]>): string[] {
  const folders = new Map<string, string[]>();
  const all = files.map((file) => {
    const path = resolve(file);
    if (long.test(path) || needsProcess.test(readFileSync(path, 'utf8'))) return file;
    const group = join(directory, `${dirname(file).replaceAll('/', '-')}.mjs`);
    folders.set(group, [...(folders.get(group) ?? []), path]);
    return group;
  });
  for (const [group, members] of folders) {
    groups.set(group, members);
    writeFileSync(group, importing(members));
  }
  return [...new Set(all)];
}

/** Each file's hooks are for its own tests; those of helpers, which are loaded before, are for all. */
function importing(files: readonly string[]): string {
  const helpers = files.flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(/ from '(\.[./]*\/helpers\/[\w-]+\.js)'/g)].map(
      ([, path = '']) => pathToFileURL(resolve(dirname(file), path)).href,
    ),
  );
  return [
    "import { createRequire } from 'node:module';",
    "import { describe } from 'node:test';",
    ...[...new Set(helpers)].map((url) => `import ${JSON.stringify(url)};`),
    'const require = createRequire(import.meta.url);',
    `for (const file of ${JSON.stringify(files)}) describe(file, () => void require(file));`,
  ].join('\n');
}

/** What failed of these files: a line for each test, by its file. */
async function failuresOf(
  files: readonly string[],
  concurrency: number,
  groups: ReadonlyMap<string, readonly string[]> = new Map(),
): Promise<Map<string, string[]>> {
  const failures = new Map<string, string[]>();
  const tests = run({ files: [...files], concurrency, timeout: FILE_MS });
  tests.on('test:fail', ({ todo, name, file, details: { error } }) => {
    if (todo !== undefined && todo !== false) return;
    const where = file ?? name;
    const why = error.cause instanceof Error ? error.cause.message : error.message;
    const line = `${name}: ${why.split('\n', 1)[0] ?? ''}`;
    const members = groups.get(where) ?? [where];
    for (const each of members.includes(name) ? [name] : members)
      failures.set(each, [...(failures.get(each) ?? []), line]);
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
const directory = mkdtempSync(join(tmpdir(), 'fcgi2cgi-test-'));
process.once('exit', () => {
  rmSync(directory, { recursive: true });
});
const groups = new Map<string, string[]>();
const failures = await failuresOf(grouped(files, directory, groups), CONCURRENCY, groups);
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
