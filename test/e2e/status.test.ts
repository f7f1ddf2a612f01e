/** What `fcgi2cgi status` says of a daemon, and how it ends a request. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';

import { ask, connect } from '../helpers/ask.js';
import { fixture, runBridge, startBridge } from '../helpers/bridge.js';
import { until, vanished } from '../helpers/processes.js';
import { runHere } from '../helpers/run-here.js';
import { answered, page, serve, serveHere, type Served } from '../helpers/served.js';
import { temporaryDirectory } from '../helpers/temporary.js';

interface Shown {
  readonly state: string;
  readonly sites: readonly {
    readonly name: string;
    readonly slots: number;
    readonly queue: number;
    readonly activity: {
      readonly max_running: number;
      readonly max_waiting: number;
      readonly errors: number[];
    };
    readonly counts: { readonly ended: readonly unknown[] };
  }[];
  readonly requests: readonly {
    readonly id: string;
    readonly uri: string;
    readonly state: string;
    readonly pid: number | null;
    readonly out_bytes: number;
    readonly processes: readonly { readonly pid: number; readonly resident_bytes: number }[];
  }[];
  readonly failed: readonly { readonly id: string; readonly reason: string }[];
  readonly slowest: readonly { readonly id: string }[];
}

let control: string;
before(async () => {
  control = join(await temporaryDirectory(), 'control');
});

/** A daemon with the control socket, which waits for what runs when it stops, as the tests have it end. */
const start = (...args: string[]): Promise<Served> => {
  const [command = '', ...rest] = args;
  return serve([command, '--control', control, ...rest], {
    graces: ['--stop-grace', '30s', '--kill-grace', '200ms'],
  });
};

const status = (...args: string[]): ReturnType<typeof runHere> => runHere(['status', control, ...args]);

async function shown(): Promise<Shown> {
  const { stdout, stderr } = await status('--json');
  assert.equal(stderr, '');
  return JSON.parse(stdout) as Shown;
}

/** Sends a request that is not waited for. */
function send(socket: string, params: Record<string, string>) {
  const connection = connect(socket);
  const request = connection.send(Object.entries({ REQUEST_METHOD: 'GET', ...params }));
  request.stdin.end();
  return { connection, request };
}

/** The one request under a URI, once it is in that state. */
async function requestAt(uri: string, state: string): Promise<Shown['requests'][number]> {
  let found: Shown['requests'][number] | undefined;
  await until(async () => {
    found = (await shown()).requests.find((each) => each.uri === uri && each.state === state);
    return found !== undefined;
  });
  return found ?? assert.fail();
}

describe('fcgi2cgi status', { timeout: 300_000 }, () => {
  it('tells of what runs, waits and has ended, from a socket for its owner alone', async () => {
    const served = await start('script', '--max-processes', '1', fixture('cgi/ignores-term.sh'));
    assert.equal((await stat(control)).mode & 0o777, 0o600);
    const first = send(served.socket, { REQUEST_URI: '/first?\u001b[2J' });
    await answered(first.request, /\d+\n/);
    const second = send(served.socket, { REQUEST_URI: '/second' });
    await requestAt('/second', 'waiting');
    const { sites, requests } = await shown();
    assert.deepEqual(
      sites.map(({ name, slots, queue }) => [name, slots, queue]),
      [['script', 1, 1]],
    );
    const [running] = requests;
    assert.deepEqual(
      [running?.uri, running?.state, (running?.out_bytes ?? 0) > 20],
      ['/first?\u001b[2J', 'running', true],
    );
    const [used] = running?.processes ?? [];
    assert.deepEqual([used?.pid, (used?.resident_bytes ?? 0) > 100_000], [running?.pid, true]);
    const { stdout } = await status();
    assert.match(stdout, /script +running +\d+ .*GET \/first\?\\u001b\[2J by \/.*ignores-term\.sh$/m);
    assert.match(stdout, /script +waiting +- .*GET \/second by /);

    const ended = await status('--cancel', running?.id ?? '');
    assert.match(ended.stdout, /^request \S+ has ended after .* \(cancelled\), process \d+: SIGKILL\n$/);
    assert.equal(ended.status, 0);
    await vanished(running?.pid ?? assert.fail());
    // Its answer had begun, and is cut short.
    first.request.stdout.resume();
    assert.notEqual((await first.request.ended).appStatus, 0);
    await answered(second.request, /\d+\n/);
    second.connection.close();
    await until(async () => (await shown()).requests.length === 0);
    assert.deepEqual((await shown()).sites[0]?.counts.ended, [
      { end: 'cancelled', status: '2xx', requests: 1 },
      { end: 'aborted', status: '2xx', requests: 1 },
    ]);
    const { failed, slowest, sites: after } = await shown();
    assert.deepEqual(
      failed.map(({ id, reason }) => [id, reason]),
      [[running?.id, 'request cancelled: somebody has told the daemon to end it']],
    );
    assert.deepEqual(slowest.map(({ id }) => id).includes(running?.id ?? ''), true);
    const { max_running, max_waiting, errors } = after[0]?.activity ?? assert.fail();
    assert.deepEqual([max_running, max_waiting, errors.reduce((sum, each) => sum + each, 0)], [1, 1, 1]);
    assert.match((await status()).stdout, /^script +\d+\.\d +0 \(max 1\) +0 \(max 1\) +1 in 15 min$/m);
    await served.stop();
    assert.ok(!existsSync(control));
  });

  it('ends a request of which nothing was answered with a page that says so, and the access log too', async () => {
    const log = join(await temporaryDirectory(), 'access');
    const served = await start(
      'script',
      '--max-processes',
      '1',
      '--access-log',
      log,
      fixture('cgi/sleeps-before-header.sh'),
    );
    const asked = ['/running', '/waiting'].map((REQUEST_URI) =>
      ask(served.socket, { REQUEST_URI, REQUEST_METHOD: 'GET' }),
    );
    // Which of the two is first, nobody knows.
    await until(async () => (await shown()).requests.length === 2);
    await until(async () => (await shown()).requests.some(({ pid }) => pid !== null));
    const { requests } = await shown();
    for (const { id } of requests.toReversed()) assert.equal((await status('--cancel', id)).status, 0);
    for (const answer of await Promise.all(asked)) {
      const { status: code, id, text } = page(answer.stdout);
      assert.deepEqual([code, text], [503, 'The administrator of the server has ended this request.']);
      assert.match(
        await served.logged(new RegExp(` id=${id} `)),
        /warn request cancelled: .*code=ERR_CANCELLED/,
      );
    }
    const lines = (await readFile(log, 'utf8')).trim().split('\n');
    assert.deepEqual(
      lines.map((line) => / 503 .* (\S+) -$/.exec(line)?.[1]),
      ['cancelled', 'cancelled'],
    );
    await served.stop();
  });

  it('ends a request whose body is still counted', async () => {
    const served = await start('worker', '--', fixture('fastcgi/does-as-asked.pl'), '/dev/null');
    const connection = connect(served.socket);
    const request = connection.send([
      ['REQUEST_METHOD', 'POST'],
      ['REQUEST_URI', '/upload'],
      ['CONTENT_LENGTH', ''],
    ]);
    request.stdin.write(Buffer.from('part'));
    const { id } = await requestAt('/upload', 'preparing');
    assert.match((await status('--cancel', id)).stdout, /cancelled\), nothing ran for it\n$/);
    await answered(request, /Status: 503 /);
    connection.close();
    await served.stop();
  });

  it('prints metrics that Prometheus reads', async () => {
    const served = await start('script', fixture('cgi/prints-environment.sh'));
    await ask(served.socket);
    const { stdout } = await status('--prometheus');
    const program = `import sys
from prometheus_client.parser import text_string_to_metric_families
for family in text_string_to_metric_families(sys.stdin.read()):
    for sample in family.samples: print(family.type, sample.name, sorted(sample.labels.items()), sample.value)`;
    const parsed = execFileSync('/usr/bin/python3', ['-c', program], { input: stdout, encoding: 'utf8' });
    assert.match(
      parsed,
      /^counter fcgi2cgi_requests_total \[\('end', 'completed'\), \('site', 'script'\), \('status', '2xx'\)\] 1\.0$/m,
    );
    assert.match(
      parsed,
      /^histogram fcgi2cgi_request_seconds_bucket \[\('le', '\+Inf'\), \('site', 'script'\)\] 1\.0$/m,
    );
    assert.match(parsed, /^counter fcgi2cgi_processes_started_total \[\('site', 'script'\)\] 1\.0$/m);
    assert.match(parsed, /^gauge process_resident_memory_bytes \[\] /m);
    await served.stop();
  });

  it('is what `get` asks for as well, and refuses all else', async () => {
    const served = await start('script', fixture('cgi/prints-environment.sh'));
    const got = await runHere(['get', control, '/?format=json']);
    assert.equal((JSON.parse(got.stdout) as Shown).state, 'accepting');
    assert.equal((await runHere(['get', control, '/cancel?id=x'])).status, 3);
    const unknown = await status('--cancel', 'nothing-1');
    assert.deepEqual(
      [unknown.status, unknown.stdout, unknown.stderr],
      [3, '', 'fcgi2cgi: no request of that id has begun and not ended\n'],
    );
    assert.equal((await status('--cancel', 'x', '--json')).status, 2);
    const both = await status('--json', '--prometheus');
    assert.deepEqual(
      [both.status, both.stderr],
      [2, "fcgi2cgi: --json can't be asked for with --prometheus: it is one form or the other\n"],
    );
    await served.stop();
    const gone = await status();
    assert.deepEqual([gone.status, gone.stderr.includes('there is no such socket')], [6, true]);
    assert.equal((await runHere(['status', '127.0.0.1:9000'])).status, 2);
  });

  it('asks nothing of another application, and passes on nothing that it says', async () => {
    const file = join(await temporaryDirectory(), 'script');
    await writeFile(
      file,
      '#!/bin/sh\necho "$REQUEST_METHOD" >> "$0.asked"\nprintf "Content-Type: text/plain\\n\\npage"\n',
      {
        mode: 0o755,
      },
    );
    const { socket } = await serveHere(['script', file]);
    for (const args of [[], ['--json'], ['--cancel', 'abc']]) {
      const told = await runHere(['status', socket, ...args]);
      assert.deepEqual(told, {
        status: 5,
        stdout: '',
        stderr: `fcgi2cgi: unix:${socket}: this is no control socket; name the one of --control\n`,
      });
    }
    assert.equal(await readFile(`${file}.asked`, 'utf8'), 'GET\nGET\nGET\n');
  });

  it('works while the daemon stops, and no health is claimed then', async () => {
    const served = await start('script', '--health-path', '/health', fixture('cgi/ignores-term.sh'));
    const kept = connect(served.socket);
    const running = kept.send([['REQUEST_URI', '/running']], { keepConn: true });
    running.stdin.end();
    await answered(running, /\d+\n/);
    const health = async (requestId: number): Promise<string | undefined> => {
      const asked = kept.send(
        [
          ['REQUEST_URI', '/health'],
          ['REQUEST_METHOD', 'GET'],
        ],
        { requestId, keepConn: true },
      );
      asked.stdin.end();
      return (await answered(asked, /Status: (\d+) /))[1];
    };
    assert.equal(await health(2), '200');
    served.process.kill('SIGTERM');
    await served.logged(/stopping/);
    assert.equal(await health(3), '503');
    const { state, requests } = await shown();
    assert.deepEqual([state, requests.length], ['draining', 1]);
    const [left] = requests;
    assert.equal((await status('--cancel', left?.id ?? '')).status, 0);
    assert.equal(await served.exited(), 0);
    kept.close();
  });

  it('has its socket again after a crash, but never takes it from a daemon that runs', async () => {
    const first = await start('script', fixture('cgi/prints-environment.sh'));
    const again = join(await temporaryDirectory(), 'sock');
    const second = await runBridge([
      'script',
      '--listen',
      again,
      '--control',
      control,
      fixture('cgi/prints-environment.sh'),
    ]);
    assert.equal(second.status, 1);
    assert.match(
      second.stderr,
      /control: another process listens there; stop it first or choose another path/,
    );
    assert.ok(!existsSync(again));
    first.process.kill('SIGKILL');
    await once(first.process, 'exit').catch(() => undefined);
    assert.ok(existsSync(control));
    const third = await startBridge([
      'script',
      '--listen',
      again,
      '--control',
      control,
      fixture('cgi/prints-environment.sh'),
    ]);
    assert.equal((await shown()).state, 'accepting');
    await third.stop();
    assert.ok(!existsSync(control));
  });
});
