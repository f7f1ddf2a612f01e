import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

import { ours } from '../bench/ours.js';
import { peers } from '../bench/peers.js';
import { publish, repository } from '../bench/publish.js';
import type { Result } from '../bench/result.js';
import { summarise } from '../bench/result.js';
import { select } from '../bench/selection.js';
import { runToEnd } from '../helpers/command.js';
import { processesWith, until } from '../helpers/processes.js';
import { temporaryDirectory } from '../helpers/temporary.js';

const main = fileURLToPath(new URL('../bench/bench.js', import.meta.url));
/** What it may leave behind: directories for temporary files, control groups. */
const left = (): string[] => {
  const groups = /^\S+ (\S+) cgroup2 /m.exec(readFileSync('/proc/mounts', 'latin1'))?.[1];
  return [tmpdir(), ...(groups === undefined ? [] : [groups])]
    .flatMap((directory) => readdirSync(directory))
    .filter((name) => name.startsWith('fcgi2cgi-bench-'));
};
const bench = (...args: string[]): ReturnType<typeof runToEnd> => runToEnd(process.execPath, [main, ...args]);

describe('The bench', { timeout: 300_000 }, () => {
  it('compares with all peers, and writes a result that a chart can be made of', async () => {
    const directory = await temporaryDirectory();
    const [json, svg] = [join(directory, 'result.json'), join(directory, 'chart.svg')];
    const works = ['compiled CGI', 'download', 'upload'];
    const options = ['--rounds', '1', '--requests', '4', '--concurrency', '2', '--megabytes', '1'];
    const before = left();
    const { status, stdout, stderr } = await bench(...works, ...options, '--json', json);
    assert.equal(status, 0, stderr);
    assert.deepEqual(left(), before);
    const { format, rows, rounds, transferBytes } = JSON.parse(readFileSync(json, 'utf8')) as Result;
    assert.deepEqual({ format, rounds, transferBytes }, { format: 2, rounds: 1, transferBytes: 1_000_000 });
    const contenders = ['ours', 'fcgiwrap', 'lighttpd mod_cgi', 'Apache mod_cgid'];
    assert.deepEqual(
      rows.map(({ work, concurrency, contender }) => `${work}, ${String(concurrency)}, ${contender}`),
      [
        ...contenders.map((name) => `compiled CGI, 2, ${name}`),
        ...contenders.map((name) => `download, 1, ${name}`),
        ...contenders.map((name) => `upload, 1, ${name}`),
      ],
    );
    for (const row of rows) {
      const [round] = row.rounds;
      assert.ok(round);
      assert.deepEqual({ requests: round.requests, failures: round.failures }, { requests: 4, failures: 0 });
      for (const number of [
        round.seconds,
        round.totalMs,
        round.peakMiB,
        row.summary.requestsPerSecond.median,
      ]) {
        assert.ok(number > 0, JSON.stringify(row));
      }
      assert.deepEqual(Object.keys(row.summary.times).length, 3);
      assert.match(
        stdout,
        new RegExp(`^${row.work} +${String(row.concurrency)} +${row.contender} +\\d`, 'm'),
      );
    }
    assert.match(stderr, /^round 1\/1, 12\/12: upload, 1 at once, Apache mod_cgid: \S+\/s$/m);
    assert.match(stderr, /^round 1\/1, 1\/12: .* \(\d+ s left\)$/m);

    assert.equal((await bench('chart', json, svg)).status, 0);
    const chart = readFileSync(svg, 'utf8');
    assert.match(chart, /^<\?xml [^]*<svg [^]*[^]*compiled CGI, 2 at once[^]*fcgiwrap[^]*<\/svg>\s*$/);
  });

  it('asks warm processes when their fork servers serve, and FastCGI applications that live long', async () => {
    const directory = await temporaryDirectory();
    const json = join(directory, 'result.json');
    const options = ['--rounds', '1', '--requests', '2', '--concurrency', '1', '--json', json];
    const against = ['ours, warm', 'ours, worker', 'gitweb --fcgi'];
    const before = left();
    const { status, stderr } = await bench(
      ...['gitweb summary', ...options, ...against.flatMap((name) => ['--against', name])],
    );
    assert.equal(status, 0, stderr);
    assert.deepEqual(left(), before);
    const { rows } = JSON.parse(readFileSync(json, 'utf8')) as Result;
    assert.deepEqual(
      rows.map(({ contender }) => contender),
      ['ours', ...against],
    );
  });

  it('says what is reached, what is held and how it grows, and its results can be shown', async () => {
    const directory = await temporaryDirectory();
    const json = join(directory, 'result.json');
    const options = ['--quick', '--against', 'fcgiwrap', '--json', json];
    const { status, stdout, stderr } = await bench('compiled CGI', 'startup', 'memory', 'growth', ...options);
    assert.equal(status, 0, stderr);
    const result = JSON.parse(readFileSync(json, 'utf8')) as Result;
    const names = result.targets.map(({ target, parts }) => [target.name, parts.length]);
    assert.deepEqual(names, [
      ['trivial compiled CGI, spawn', 1],
      ['command start to listening', 3],
    ]);
    for (const { parts } of result.targets) for (const { measured } of parts) assert.ok(measured.median > 0);
    for (const { roles, peakMiB } of result.memory) assert.ok(roles.length > 0 && peakMiB > 1);
    assert.deepEqual(
      result.growth.map(({ contender, marks }) => [contender, ...marks.map(({ requests }) => requests)]),
      [
        ['ours', 10, 30],
        ['fcgiwrap', 10, 30],
      ],
    );
    assert.match(stdout, /^compiled CGI +1 +ours +fcgiwrap +\d+\.\d+ \(/m);
    assert.match(stdout, /^command start to listening +\S+ 0\.3 s /m);

    const readme = join(directory, 'README.md');
    writeFileSync(readme, readFileSync(join(repository, 'README.md')));
    await publish(result, directory);
    await publish(result, directory);
    const [before, after] = [join(repository, 'README.md'), readme].map((file) => readFileSync(file, 'utf8'));
    const outside = /<!-- bench: what [^]*<!-- bench: end -->/;
    assert.equal(after?.replace(outside, ''), before?.replace(outside, ''));
    assert.match(
      readFileSync(join(directory, 'scripts/bench-results/README.md'), 'utf8'),
      /^\| trivial compiled CGI, spawn +\| fcgiwrap +\| ≥ 0\.85 × +\| \d/m,
    );
    assert.match(readFileSync(join(directory, 'scripts/bench-results/chart.svg'), 'utf8'), /<\/svg>\s*$/);
  });

  it('leaves nothing behind when it is interrupted', async () => {
    const before = left();
    const args = ['compiled CGI', '--requests', '1000000', '--concurrency', '2'];
    const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    const ended = once(child, 'close');
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
    await until(() => processesWith('-n\0' + '1000000').length > 0);
    const [directory = ''] = left().filter((name) => !before.includes(name));
    assert.ok(processesWith(directory).length > 0);
    child.kill('SIGINT');
    child.kill('SIGINT');
    assert.deepEqual(await ended, [1, null]);
    assert.match(said, /^bench: ended by SIGINT$/m);
    assert.deepEqual(left(), before);
    assert.deepEqual(processesWith(directory), []);
  });

  it('shows the lists of ten thousand repositories only where they are named', () => {
    const worksOf = (...names: string[]): Set<string> =>
      new Set(select(names, [...ours, ...peers], undefined).cells.map(({ work }) => work.name));
    const [long, short] = ['hg list, 10000 repositories', 'hg list, 500 repositories'];
    assert.deepEqual([worksOf().has(long), worksOf().has(short)], [false, true]);
    assert.deepEqual([...worksOf('hg list')], [short, long]);
    assert.ok(worksOf('targets').has(short));
  });

  it('explains itself, and what it does not know', async () => {
    const { status, stdout } = await bench('--help');
    assert.equal(status, 0);
    assert.match(stdout, /^usage: bench /);
    for (const args of [
      ['nonsense'],
      ['--against', 'nobody'],
      ['--rounds', '0'],
      ['chart', 'one'],
      ['publish'],
    ]) {
      const { status, stderr } = await bench(...args);
      assert.equal(status, 2, args.join(' '));
      assert.match(stderr, /^bench: .+\n\nusage: bench /);
    }
  });

  it('compares rounds that were run next to each other', () => {
    const row = (contender: string, seconds: readonly number[]) => ({
      ...{ work: 'w', concurrency: 1, contender },
      rounds: seconds.map((each) => ({
        ...{ requests: 10, failures: 0, seconds: each, firstMs: null, totalMs: 1, peakMiB: 1 },
        cpuSeconds: 0.1,
      })),
    });
    // The machine was slow in the second round, for both.
    const [ours, theirs] = [row('ours', [1, 10, 2]), row('theirs', [2, 40, 2])];
    const { times, requestsPerSecond, cpuMsPerRequest } = summarise(theirs, [ours, theirs]);
    assert.deepEqual(times, { ours: { median: 0.5, least: 0.25, most: 1 } });
    assert.deepEqual(summarise(ours, [ours, theirs]).times, { theirs: { median: 2, least: 1, most: 4 } });
    assert.deepEqual(requestsPerSecond, { median: 5, least: 0.25, most: 5 });
    assert.deepEqual(cpuMsPerRequest, { median: 10, least: 10, most: 10 });
  });
});
