/** A FastCGI application whose processes the bridge keeps, with a socket of the bridge's own. */

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { type Answer, ask, connect } from '../helpers/ask.js';
import { fixture } from '../helpers/bridge.js';
import { childrenOf, until, vanished } from '../helpers/processes.js';
import { failed, page, serve, type Served } from '../helpers/served.js';
import { fifo, temporaryDirectory } from '../helpers/temporary.js';
import { type Application, makeApplication } from '../helpers/worker.js';

/** The application with its replacement besides `workers`; graces are short unless they are among the options. */
async function start(
  { workers = 1, graces, env }: { workers?: number; graces?: string[]; env?: NodeJS.ProcessEnv } = {},
  ...options: readonly string[]
): Promise<{ readonly application: Application; readonly served: Served }> {
  const application = await makeApplication();
  const args = ['worker', '--workers', String(workers), ...options, '--', ...application.command];
  return { application, served: await serve(args, { ...(graces && { graces }), ...(env && { env }) }) };
}

const get = (served: Served, query = ''): Promise<Answer> => ask(served.socket, { QUERY_STRING: query });

const post = (served: Served, query: string, body: string): Promise<Answer> =>
  ask(
    served.socket,
    { REQUEST_METHOD: 'POST', QUERY_STRING: query, CONTENT_LENGTH: String(body.length) },
    body,
  );

const pidOf = ({ stdout }: Answer): number => Number(/\r\n\r\n(\d+)\n/.exec(stdout)?.[1]);

const workersOf = (served: Served): number[] => childrenOf(served.process.pid ?? 0);

describe('worker --listen', { timeout: 300_000 }, () => {
  it('relays a request: params, body, answer, standard error', async () => {
    const { application, served } = await start({}, '--env', 'OURS=1');
    const answer = await post(served, 'complains', 'the body');
    assert.match(answer.stdout, /^Content-Type: text\/plain\r\n\r\n\d+\n$/);
    assert.equal(answer.stderr, 'complaint\n');
    assert.deepEqual([answer.appStatus, answer.protocolStatus], [0, 0]);
    assert.deepEqual(application.begun(), ['POST complains the body']);
    const params = { QUERY_STRING: 'environment', PATH_INFO: '/lat\xefn', EMPTY: '', HTTP_PROXY: 'evil' };
    const { stdout } = await ask(served.socket, params);
    assert.match(stdout, /^PATH_INFO=\/lat\xefn$/m);
    assert.match(stdout, /^EMPTY=$/m);
    assert.match(stdout, /^OURS=1$/m);
    assert.doesNotMatch(stdout, /HTTP_PROXY/);
  });

  it('serves when its first worker has shown that it accepts: no POST goes to one that ends', async () => {
    const { command } = await makeApplication();
    const late = ['/bin/sh', '-c', 'sleep 0.2; exec "$@"', 'sh', ...command];
    const served = await serve(['worker', '--workers', '1', '--log-level', 'debug', '--', ...late]);
    assert.match(served.log(), / worker accepts connections [^]* listening /);
  });

  it('answers every request of an application that ends after each', async () => {
    const { application, served } = await start({ workers: 3 });
    const one = async (_: unknown, index: number): Promise<void> => {
      for (let count = 0; count < 8; count++) {
        const body = `${String(index)}-${String(count)}`;
        const answer = await (count % 2 === 0 ? get(served, 'exits') : post(served, 'exits', body));
        assert.ok(pidOf(answer) > 0, answer.stdout);
      }
    };
    await Promise.all(Array.from({ length: 4 }, one));
    const posts = application.begun().filter((line) => line.startsWith('POST'));
    assert.equal(posts.length, 16);
    assert.equal(new Set(posts).size, 16, 'none was begun twice');
    assert.doesNotMatch(served.log(), / (error|warn) /);
  });

  it('answers a request that meets many workers which end on purpose', async () => {
    const { application, served } = await start({ workers: 9 }, '--log-level', 'debug');
    await until(() => served.log().split('worker accepts').length > 10);
    const file = join(await temporaryDirectory(), 'leave');
    for (let count = 0; count < 10; count++) await get(served, `leaves=${file}`);
    const asked = [post(served, '', 'body'), get(served)];
    await writeFile(file, '');
    for (const answer of await Promise.all(asked)) assert.ok(pidOf(answer) > 0, answer.stdout);
    assert.equal(application.begun().filter((line) => line === 'POST  body').length, 1);
  });

  it('answers GETs whose worker is killed, and nobody knows', async () => {
    const { served } = await start({ workers: 2 });
    const kills = 5;
    const killed = new Set<number>();
    while (killed.size < kills) {
      const asked = [get(served), get(served), get(served)];
      await until(() => workersOf(served).some((pid) => !killed.has(pid)));
      const victim = Number(workersOf(served).find((pid) => !killed.has(pid)));
      process.kill(victim, 'SIGKILL');
      killed.add(victim);
      for (const answer of await Promise.all(asked)) assert.ok(pidOf(answer) > 0, answer.stdout);
    }
    await until(() => served.log().split('worker crashed').length > kills);
    assert.match(
      served.log(),
      / error worker crashed; starting another in \d+ ms pid=\d+ exit="signal SIGKILL"/,
    );
  });

  it('sends no POST twice: one whose worker dies is answered with 502', async () => {
    const { application, served } = await start();
    const answer = await post(served, 'dies', 'once');
    assert.equal(page(answer.stdout).status, 502);
    assert.deepEqual(application.begun(), ['POST dies once']);
    await served.logged(/request failed: The program was ended by signal SIGKILL before it answered/);
    assert.ok(pidOf(await get(served)) > 0);
  });

  it('sends no request twice of whose answer something came', async () => {
    const { application, served } = await start();
    for (const [query, status] of [
      ['dies-in-body', 137],
      // Without END_REQUEST it is not whole, even if the worker ends as if all were well.
      ['leaves-in-body', 143],
    ] as const) {
      const { stdout, appStatus } = await get(served, query);
      assert.ok(stdout.endsWith('the beginn'));
      assert.equal(appStatus, status);
    }
    assert.deepEqual(application.begun(), ['GET dies-in-body', 'GET leaves-in-body']);
    await until(
      () => served.log().match(/ error response cut short after \d+ bytes: The program /g)?.length === 2,
    );
  });

  it('has a GET that ends every worker end only so many', async () => {
    const { application, served } = await start();
    const answer = await get(served, 'dies');
    assert.ok([502, 503].includes(page(answer.stdout).status), answer.stdout);
    const { length } = application.begun();
    assert.ok(length > 1 && length <= 8, String(length));
    assert.match(served.log(), / error request failed: /);
    // It goes on trying, and is soon as it was.
    await until(async () => pidOf(await get(served)) > 0);
  });

  it('replaces a worker that hangs', async () => {
    // More than a worker takes to start on a machine that has a lot to do.
    const { application, served } = await start({}, '--idle-timeout', '5s');
    const { stdout } = await get(served, 'hangs');
    assert.equal(page(stdout).status, 504);
    const line = await served.logged(/request failed: Neither body nor response moved/);
    assert.match(line, /ended_by=idle-timeout/);
    await vanished(Number(/ pid=(\d+)/.exec(line)?.[1]));
    assert.ok(pidOf(await get(served)) > 0);
    assert.deepEqual(application.begun(), ['GET hangs', 'GET']);
  });

  it('leaves a worker alone that finishes a request which the web server gave up', async () => {
    const { application, served } = await start(
      { graces: ['--kill-grace', '30s', '--stop-grace', '1s'] },
      '--log-level',
      'debug',
    );
    const goOn = await fifo();
    const requester = connect(served.socket);
    const request = requester.send([
      ['REQUEST_METHOD', 'GET'],
      ['QUERY_STRING', `waits=${goOn}`],
    ]);
    request.stdin.end();
    await until(() => application.begun().length === 1);
    request.abort();
    // The bridge knows of it before the application goes on.
    await request.ended;
    requester.close();
    await writeFile(goOn, '\n');
    const line = await served.logged(/request aborted/);
    const pid = Number(/ pid=(\d+)/.exec(line)?.[1]);
    const pids = [pidOf(await get(served)), pidOf(await get(served))];
    assert.ok(pids.includes(pid), `${String(pids)} are others than ${String(pid)}`);
    assert.doesNotMatch(served.log(), /worker ended/);
  });

  it('replaces a worker that does not finish a request which the web server gave up', async () => {
    const { application, served } = await start();
    const requester = connect(served.socket);
    requester
      .send([
        ['REQUEST_METHOD', 'GET'],
        ['QUERY_STRING', 'hangs'],
      ])
      .stdin.end();
    await until(() => application.begun().length === 1);
    requester.close();
    const line = await served.logged(/request aborted/);
    await vanished(Number(/ pid=(\d+)/.exec(line)?.[1]));
    assert.ok(pidOf(await get(served)) > 0);
  });

  it('replaces a worker after --max-requests', async () => {
    const { served } = await start({}, '--max-requests', '3', '--log-level', 'debug');
    const requests = new Map<number, number>();
    for (let count = 0; count < 12; count++) {
      const pid = pidOf(await get(served));
      requests.set(pid, (requests.get(pid) ?? 0) + 1);
    }
    assert.ok(
      [...requests.values()].every((each) => each <= 3),
      [...requests.values()].join(),
    );
    await served.logged(/worker ended .*requests=3/);
    assert.doesNotMatch(served.log(), / error /);
  });

  it('has further requests wait, no longer and no more than they may', async () => {
    const { application, served } = await start({}, '--max-queue', '1', '--max-processes', '9');
    const goOn = await fifo();
    const first = get(served, `waits=${goOn}`);
    await until(() => application.begun().length === 1);
    // Whichever comes first waits, and the other one does not.
    const asked = [get(served), get(served)];
    assert.match((await Promise.race(asked)).stdout, /^Status: 503/);
    await served.logged(/ERR_MAX_QUEUE/);
    assert.equal(application.begun().length, 1);
    await writeFile(goOn, '\n');
    assert.ok(pidOf(await first) > 0);
    const answers = await Promise.all(asked);
    assert.equal(answers.filter((answer) => pidOf(answer) > 0).length, 1);
  });

  it('answers 503 while the application can’t run, and says what it said', async () => {
    const served = await serve([
      'worker',
      '--max-crashes',
      '2',
      '--',
      '/bin/sh',
      '-c',
      'echo no luck >&2; exit 3',
    ]);
    await until(() => served.log().includes('failures=2'));
    const { status } = await failed(served);
    assert.equal(status, 503);
    assert.match(served.log(), / warn worker: no luck pid=\d+/);
    assert.match(served.log(), / error worker crashed; .* exit="exit status 3"/);
  });

  it('serves an application that knows no management records, also what is no GET', async () => {
    const served = await serve(['worker', '--workers', '1', '--', fixture('fastcgi/ignores-management.py')]);
    for (const body of ['', 'the body', 'another one']) {
      const { stdout, appStatus } = await post(served, '', body);
      assert.equal(stdout, `Content-Type: text/plain\r\n\r\n${body}`);
      assert.equal(appStatus, 0);
    }
  });

  it('says why an application’s answer can’t be used', async () => {
    const served = await serve(['worker', '--workers', '1', '--', fixture('fastcgi/ignores-management.py')]);
    for (const [body, status, why] of [
      ['refuses 1', 502, 'it refused the request with FCGI_CANT_MPX_CONN'],
      ['refuses 2', 503, 'the application refused the request with FCGI_OVERLOADED'],
      ['refuses 9', 502, 'it refused the request with FCGI_9'],
      ['speaks HTTP', 502, 'it does not speak FastCGI 1.0'],
    ] as const) {
      const { stdout } = await post(served, '', body);
      const { status: got, id } = page(stdout);
      assert.equal(got, status, body);
      assert.ok((await served.logged(new RegExp(` id=${id} `))).includes(why), why);
    }
  });

  it('leaves no process and no file behind at SIGTERM, and lets a running request end', async () => {
    const directory = await temporaryDirectory();
    const { application, served } = await start({
      workers: 2,
      graces: ['--stop-grace', '30s', '--kill-grace', '200ms'],
      env: { ...process.env, TMPDIR: directory },
    });
    const goOn = await fifo();
    const running = get(served, `waits=${goOn}`);
    await until(() => application.begun().length === 1);
    await until(() => workersOf(served).length === 3);
    const workers = workersOf(served);
    assert.notDeepEqual(readdirSync(directory), []);
    served.process.kill('SIGTERM');
    await served.logged(/stopping/);
    await writeFile(goOn, '\n');
    assert.ok(workers.includes(pidOf(await running)));
    assert.equal(await served.exited(), 0);
    for (const pid of workers) await vanished(pid);
    assert.deepEqual(readdirSync(directory), []);
  });
});
