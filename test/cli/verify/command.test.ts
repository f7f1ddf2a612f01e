import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';

import { fixture, main, runBridge } from '../../helpers/bridge.js';
import { childrenOf, isRunning, until, vanished } from '../../helpers/processes.js';
import { runHere } from '../../helpers/run-here.js';
import { temporaryDirectory } from '../../helpers/temporary.js';
import { verified } from '../../helpers/verified.js';

const differs = fixture('cgi/answers-differently-when-warm.py');
const ofDirectory = ['dir', '--root', fixture('cgi'), '--param', `DOCUMENT_ROOT=${fixture('cgi')}`];

let body: string;
/** A configuration file. */
let workers: string;
before(async () => {
  body = join(await temporaryDirectory(), 'body');
  await writeFile(body, 'the body');
  workers = join(await temporaryDirectory(), 'sites.toml');
  await writeFile(workers, '[site.one]\nkind = "worker"\ncommand = ["/bin/true"]\nlisten = "/run/sock"\n');
});

describe('fcgi2cgi verify', { timeout: 300_000 }, () => {
  it('finds every difference, whatever part of the answer it is in', async () => {
    const ways = ['status', 'field', 'body', 'stderr', 'exit', 'signal'];
    const {
      status,
      verified: found,
      counts,
    } = await verified(
      ['script', differs],
      ways.map((way) => `/?${way}`),
    );
    assert.equal(status, 9);
    assert.equal(counts, '6 requests: 6 differs');
    const [first, second] = ['exit status 0', 'signal SIGTERM'];
    assert.deepEqual(
      found.map(({ differences }) => differences),
      [
        [
          { part: 'status', spawn: '200', warm: '404' },
          { part: 'field', name: 'status', spawn: '200', warm: '404' },
        ],
        [{ part: 'field', name: 'x-forked', spawn: null, warm: 'yes' }],
        [{ part: 'body', line: 2, spawn: 'the answer is new', warm: 'the answer is forked' }],
        [{ part: 'standard error', line: 1, spawn: null, warm: 'a complaint' }],
        [{ part: 'exit', spawn: first, warm: 'exit status 3' }],
        [
          { part: 'exit', spawn: first, warm: second },
          { part: 'end', spawn: 'completed', warm: 'cut-short' },
        ],
      ],
    );
  });

  it('says what varies by itself, and does not take it for a difference', async () => {
    const { status, verified: found } = await verified(['script', differs, '--repeat', '20'], ['/?varies']);
    assert.equal(status, 0);
    const [{ result, warmRuns = 0, varies = [] } = { result: '' }] = found;
    assert.equal(result, 'same');
    assert.ok(warmRuns >= 20);
    assert.equal(varies[0], 'field set-cookie');
    assert.match(varies[1] ?? '', /^body, lines? 2/);
  });

  it('finds what each new process has of its own, and all warm ones have in common', async () => {
    const { status, verified: found } = await verified(['script', differs], ['/?shares', '/?cookie']);
    assert.equal(status, 9);
    assert.deepEqual(
      found.map(({ differences = [] }) =>
        differences.map(({ part, line, name, warm, repeats }) => [part, line ?? name, warm, repeats]),
      ),
      [[['body', 3, 'token=c0ffee', 4]], [['field', 'set-cookie', 'token=c0ffee; Path=/', 4]]],
    );
    const { stdout } = await runBridge(['verify', 'script', differs, '--', '/?shares']);
    assert.match(stdout, /body line 3 by spawn: token=[0-9a-f]{6} \(another one each time\)/);
    assert.match(stdout, /body line 3 by warm: {2}token=c0ffee \(the same 4 times\)/);
  });

  it('shows to people what differs where, and what it could not compare', async () => {
    const paths = ['/answers-differently-when-warm.py?body', '/prints-invocation.pl', '/nph.sh', '/nothing'];
    const { status, stdout, stderr } = await runBridge(['verify', ...ofDirectory, '--', ...paths]);
    assert.equal(status, 9);
    assert.deepEqual(stdout.replaceAll(/\d+ bytes, \d+ ×/g, '… bytes, … ×').split('\n'), [
      `differs    GET ${paths[0] ?? ''}: 200, … bytes, … × warm`,
      '           body line 2 by spawn: the answer is new',
      '           body line 2 by warm:  the answer is forked',
      'same       GET /prints-invocation.pl: 200, … bytes, … × warm',
      'never warm GET /nph.sh: its interpreter line is /bin/sh',
      'no program GET /nothing: 404 Not Found',
      '',
    ]);
    assert.equal(stderr, '4 requests: 1 same, 1 differs, 1 never warm, 1 no program\n');
  });

  it('says by its exit status whether anything was compared', async () => {
    const unfit = join(await temporaryDirectory(), 'unfit.cgi');
    await writeFile(unfit, '#!/usr/bin/python3\nthis is no Python\n');
    await chmod(unfit, 0o755);
    for (const [script, expected, result] of [
      [fixture('cgi/prints-invocation.py'), 0, 'same'],
      [fixture('cgi/nph.sh'), 10, 'never-warm'],
      [unfit, 10, 'not-warm'],
    ] as const) {
      const { status, verified: found } = await verified(['script', script], ['/']);
      assert.deepEqual([status, found.map((each) => each.result)], [expected, [result]], script);
    }
  });

  it('sends a body and another method than GET only when it is told the method', async () => {
    const request = ['verify', 'script', differs, '--data', body];
    const refused = await runHere([...request, '--', '/?input']);
    assert.equal(refused.status, 2);
    assert.match(
      refused.stderr,
      /--data .*body: makes it a POST, which would be run several times; say --method POST/,
    );
    const { status, stdout } = await runBridge([...request, '--method', 'POST', '--', '/?input']);
    assert.equal(status, 0);
    assert.match(stdout, /^same {7}POST \/\?input: 200, 38 bytes, /);
  });

  it('is wrong usage without a request, or for what is never run anew', async () => {
    for (const [args, line] of [
      [['script', differs], /what to ask for is missing; it comes last, after --/],
      [['worker', '--', '/'], /SITE-COMMAND worker: expected hg, git, script or dir;/],
      [['--config', workers, '--', '/'], /the processes of a worker/],
      [['--', '/'], /--config is missing/],
      [['script', differs, '--repeat', '0', '--', '/'], /--repeat 0: expected a whole number/],
      [['script', differs, '--method', 'POST', '--data', '-', '--', '/'], /expected a regular file/],
    ] as const) {
      const { status, stderr } = await runHere(['verify', ...args]);
      assert.deepEqual([status, line.test(stderr)], [2, true], stderr);
    }
  });

  it('ends at a signal, with all that it has started', async () => {
    const directory = await temporaryDirectory();
    const args = ['verify', 'script', fixture('cgi/ends-as-asked.py'), '--repeat', '100000', '--', '/'];
    const env = { ...process.env, TMPDIR: directory };
    const child = spawn(process.execPath, [main, ...args], { stdio: 'ignore', env });
    const exited = once(child, 'exit');
    await until(() => childrenOf(child.pid ?? 0).some((pid) => childrenOf(pid).length > 0));
    const [server = 0] = childrenOf(child.pid ?? 0).filter((pid) => isRunning(pid));
    child.kill('SIGTERM');
    await exited;
    assert.equal(child.exitCode, 143);
    await vanished(server);
    assert.deepEqual(readdirSync(directory), []);
  });
});
