/** What the processes of programs may use, however they are made. */

import assert from 'node:assert/strict';
import { chmod } from 'node:fs/promises';
import { getPriority } from 'node:os';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';

import { ask } from '../helpers/ask.js';
import { fixture } from '../helpers/bridge.js';
import { makeTree } from '../helpers/file-tree.js';
import { childrenOf } from '../helpers/processes.js';
import { type Asked, failed, page, serve, serveHere } from '../helpers/served.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { answersTheSame } from '../helpers/verified.js';

const limits = ['--max-memory', '400mb', '--max-cpu', '1s', '--nice', '3'];
const head = 'Content-Type: text/plain\\n\\n';

/** Of the bridges here, which have it from us. */
const ownNiceness = getPriority();

/** What a script prints of its own: address space in octets and seconds, as /proc/self/limits has them, and niceness. */
const expected = new RegExp(`^419430400 419430400 1 2 ${String(ownNiceness + 3)}\n`, 'm');

let directory: string;
before(async () => {
  directory = await temporaryDirectory();
  await chmod(directory, 0o755);
  // The system is told of a program's niceness right after its start.
  const shown = `while awk '$19 == ${String(ownNiceness)} {exit 1}' /proc/self/stat; [ $? = 1 ]; do :; done; awk '/address space/{a=$4" "$5} /cpu time/{c=$4" "$5} FILENAME~/stat/{n=$19} END{print a" "c" "n}' /proc/self/limits /proc/self/stat`;
  await makeTree(directory, {
    'shows.sh': {
      content: `#!/bin/sh\nprintf '${head}'\n[ "$QUERY_STRING" != spin ] || while :; do :; done\n${shown}\n`,
      mode: 0o755,
    },
    'shows.python': {
      content: `#!/usr/bin/python3\nimport os, sys\nif os.environ.get('QUERY_STRING') == 'eat': x = bytearray(1 << 30)
while os.environ.get('QUERY_STRING') == 'spin': pass
sys.stdout.write('${head}'); sys.stdout.flush()\nos.system('''${shown}''')\nprint('resource' in sys.modules)\n`,
      mode: 0o755,
    },
    'shows.perl': {
      content: `#!/usr/bin/perl\nuse strict;\nmy $x = 'x' x (length($ENV{QUERY_STRING}) << 28);
$| = 1;\nprint "${head}";\nprint "status $? \\n" if $?;\nsystem q{${shown}};\n`,
      mode: 0o755,
    },
  });
});

const run = (name: string, ...options: readonly string[]): Promise<Asked> =>
  serveHere(['script', ...limits, ...options, join(directory, name)]);

describe('--max-memory, --max-cpu and --nice', { timeout: 300_000 }, () => {
  for (const way of ['posix', 'node']) {
    it(`bind a program that is started by ${way}, and what it starts`, async () => {
      const { socket } = await run('shows.sh', '--spawn-method', way);
      assert.match((await ask(socket, { QUERY_STRING: 'x', 'ODD.NAME': 'kept' })).stdout, expected);
    });

    it(`do not change what is said of a program that can't be started, by ${way}`, async () => {
      const bridge = await serveHere([
        'script',
        ...limits,
        '--spawn-method',
        way,
        fixture('cgi/missing-interpreter.sh'),
      ]);
      const { status, line } = await failed(bridge);
      assert.equal(status, 500);
      assert.match(line, /missing-interpreter.sh could not be started: the interpreter that its first line/);
    });
  }

  for (const language of ['python', 'perl']) {
    it(`bind a warm process of ${language}, and not its fork server`, async () => {
      const bridge = await serve([
        'script',
        ...limits,
        '--runner',
        'warm',
        join(directory, `shows.${language}`),
      ]);
      await ask(bridge.socket);
      await bridge.logged(/ a fork server is ready /);
      const { stdout } = await ask(bridge.socket);
      assert.match(stdout, expected);
      assert.doesNotMatch(stdout, /^(True|status)/m);
      const { pid = 0 } = bridge.process;
      assert.deepEqual([pid, ...childrenOf(pid)].map(getPriority), [ownNiceness, ownNiceness]);
    });

    it(`are those of both ways when ${language} is verified`, () =>
      answersTheSame(['script', ...limits, join(directory, `shows.${language}`)], {
        '/': 200,
        '/?eat': 502,
      }));
  }

  it('may be one without the others', async () => {
    const { socket } = await serveHere(['script', '--nice', '19', join(directory, 'shows.sh')]);
    assert.match((await ask(socket)).stdout, / 19$/m);
  });

  it('answer for a program that has used too much of the processor with 504, and say so in the log', async () => {
    const bridge = await run('shows.python');
    const { stdout, appStatus } = await ask(bridge.socket, { QUERY_STRING: 'spin' });
    const { status, text } = page(stdout);
    assert.deepEqual([status, text], [504, 'The server took too long to make this page.']);
    assert.equal(appStatus, 128 + 24);
    await bridge.logged(
      / error request failed: The program used more processor time .* exit="signal SIGXCPU"/,
    );
  });

  it('leave a program without memory to say so itself', async () => {
    const bridge = await run('shows.python');
    const { stdout } = await ask(bridge.socket, { QUERY_STRING: 'eat' });
    assert.equal(page(stdout).status, 502);
    await bridge.logged(/ error request failed: .*MemoryError/);
  });

  it('bind the processes of a FastCGI application', async () => {
    const script = `while awk '$19 == ${String(ownNiceness)} {exit 1}' /proc/self/stat; [ $? = 1 ]; do :; done; awk '/cpu time/{print "cpu",$4,$5} FILENAME~/stat/{print "nice",$19}' /proc/self/limits /proc/self/stat >&2; exec sleep 100`;
    const bridge = await serve(['worker', ...limits, '--workers', '1', '--', '/bin/sh', '-c', script]);
    await bridge.logged(/ worker: cpu 1 2/);
    await bridge.logged(new RegExp(` worker: nice ${String(ownNiceness + 3)}`));
  });
});
