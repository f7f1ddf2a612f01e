import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readlinkSync } from 'node:fs';
import { lstat, mkdir, readdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { beforeEach, describe, it } from 'node:test';

import { ask } from '../helpers/ask.js';
import { type Bridge, commandLine, runBridge, startBridge } from '../helpers/bridge.js';
import { runToEnd } from '../helpers/command.js';
import { makeTree } from '../helpers/file-tree.js';
import { fetchRaw } from '../helpers/http.js';
import { commandWithDescriptor, startThrough } from '../helpers/descriptors.js';
import { vanished, isRunning } from '../helpers/processes.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { freePort, startProgram } from '../helpers/webserver.js';

const hasV6 = Object.values(networkInterfaces())
  .flat()
  .some((each) => each?.address === '::1');
const linux = process.platform === 'linux';

let directory: string;
let script: readonly string[];

beforeEach(async () => {
  directory = await temporaryDirectory();
  const program =
    '#!/bin/sh\nprintf "Content-Type: text/plain\\n\\nhello from $PPID\\n"\nexec ls -l /proc/self/fd 2>/dev/null\n';
  await makeTree(directory, { hello: { content: program, mode: 0o755 } });
  script = ['script', `${directory}/hello`];
});

async function answers(where: string | number): Promise<void> {
  const { stdout, appStatus } = await ask(where);
  assert.match(stdout, /^Content-Type: text\/plain\n\nhello from \d+\n/);
  assert.equal(appStatus, 0);
}

/** Works with a bridge and stops it, which must succeed. */
async function withBridge<B extends Pick<Bridge, 'stop'>>(
  starting: Promise<B>,
  work: (bridge: B) => Promise<void>,
): Promise<void> {
  const bridge = await starting;
  try {
    await work(bridge);
  } finally {
    assert.equal(await bridge.stop(), 0);
  }
}

describe('A daemon with several addresses', () => {
  it('answers on all of them, and leaves none of its sockets behind', async () => {
    const [port, portV6] = [await freePort(), await freePort()];
    const addresses = [
      `unix:${directory}/a`,
      `${directory}/b`,
      `127.0.0.1:${String(port)}`,
      ...(hasV6 ? [`[::1]:${String(portV6)}`] : []),
    ];
    const bridge = startBridge([...script, ...addresses.flatMap((address) => ['--listen', address])]);
    await withBridge(bridge, async (running) => {
      for (const address of addresses)
        assert.ok(running.log().includes(address.replace(/^\//, 'unix:/')), running.log());
      for (const where of [`${directory}/a`, `${directory}/b`, port]) await answers(where);
      assert.equal((await lstat(`${directory}/a`)).mode & 0o777, 0o660);
    });
    assert.deepEqual(await readdir(directory), ['hello']);
  });

  it('listens on none of them when it can’t on one', async () => {
    await withBridge(startBridge([...script, '--listen', `${directory}/busy`]), async () => {
      const ended = await runBridge([
        ...script,
        '--listen',
        `${directory}/free`,
        '--listen',
        `${directory}/busy`,
      ]);
      assert.equal(ended.status, 1);
      assert.match(
        ended.stderr,
        /^fcgi2cgi: unix:.*\/busy: another process listens there; stop it first or choose another path\n$/,
      );
      assert.equal(existsSync(`${directory}/free`), false);
      await answers(`${directory}/busy`);
    });
  });

  it('takes no address twice', async () => {
    const ended = await runBridge([
      ...script,
      '--listen',
      `${directory}/sock`,
      '--listen',
      `${directory}/sock`,
    ]);
    assert.equal(ended.status, 1);
    assert.deepEqual(await readdir(directory), ['hello']);
  });
});

describe('A daemon’s Unix socket', () => {
  it('has the mode that was asked for', async () => {
    await withBridge(
      startBridge([...script, '--listen', `${directory}/sock`, '--socket-mode', '0606']),
      async () => {
        assert.equal((await lstat(`${directory}/sock`)).mode & 0o777, 0o606);
      },
    );
  });

  it('is replaced after kill -9', async () => {
    const killed = await startBridge([...script, '--listen', `${directory}/sock`]);
    killed.process.kill('SIGKILL');
    await killed.stop();
    assert.equal(existsSync(`${directory}/sock`), true);
    await withBridge(startBridge([...script, '--listen', `${directory}/sock`]), () =>
      answers(`${directory}/sock`),
    );
    assert.equal(existsSync(`${directory}/sock`), false);
  });
});

describe('A listening descriptor', () => {
  for (const descriptor of [0, 3, 9]) {
    const listen = descriptor === 0 ? [] : ['--listen', `fd:${String(descriptor)}`];

    it(`${String(descriptor)} is served, and its socket’s file left to who has made it`, async () => {
      const path = `${directory}/sock`;
      const command = commandWithDescriptor(path, descriptor, [...script, ...listen]);
      // Descriptor 0 stays the socket through Python's exec.
      await withBridge(startThrough(command), () => answers(path));
      assert.equal((await lstat(path)).isSocket(), true);
    });

    it(`${String(descriptor)} is not for scripts to inherit`, { skip: !linux && 'needs Linux' }, async () => {
      const path = `${directory}/sock`;
      const command = commandWithDescriptor(path, descriptor, [...script, ...listen]);
      await withBridge(startThrough(command), async (bridge) => {
        const socket = readlinkSync(`/proc/${String(bridge.process.pid)}/fd/${String(descriptor)}`);
        assert.match(socket, /^socket:/);
        const { stdout } = await ask(path);
        assert.match(stdout, / 1 -> /);
        assert.ok(!stdout.includes(socket), `${socket} is among the script's descriptors:\n${stdout}`);
      });
    });
  }

  it('that is no socket, or one that is connected, is an error', async () => {
    // What runBridge gives the daemon as these descriptors is /dev/null and one end of a pair of sockets.
    for (const [descriptor, why] of [
      [0, 'the descriptor is no socket'],
      [1, 'listen EINVAL: .*'],
    ] as const) {
      const address = `fd:${String(descriptor)}`;
      const ended = await runBridge([...script, '--listen', address]);
      assert.equal(ended.status, 1);
      assert.match(ended.stderr, new RegExp(`^fcgi2cgi: ${address}: can't listen: ${why}\\n$`));
    }
  });
});

describe('spawn-fcgi', () => {
  const spawnFcgi = (options: readonly string[]): string[] => [
    'spawn-fcgi',
    '-n',
    ...options,
    '--',
    ...commandLine(script),
  ];

  it('starts the daemon with a Unix socket', async () => {
    await withBridge(startThrough(spawnFcgi(['-s', `${directory}/sock`])), () =>
      answers(`${directory}/sock`),
    );
  });

  it('starts the daemon with a TCP socket', async () => {
    const port = await freePort();
    await withBridge(startThrough(spawnFcgi(['-a', '127.0.0.1', '-p', String(port)])), () => answers(port));
  });

  it('is told who may connect to a socket beyond loopback, and else that nobody is named', async () => {
    const everywhere = spawnFcgi(['-a', '0.0.0.0', '-p', String(await freePort())]);
    const [file = '', ...args] = everywhere;
    const ended = await runToEnd(file, args);
    assert.equal(ended.status, 2);
    assert.match(
      ended.stderr,
      /not a loopback address; name the web servers that may connect with --allow-from/,
    );
    await withBridge(startThrough([...everywhere, '--allow-from', '127.0.0.1']), () =>
      answers(Number(everywhere[5])),
    );
  });
});

describe('lighttpd', () => {
  it('starts the daemon by its bin-path, and ends it', { skip: !linux && 'needs Linux' }, async () => {
    const port = await freePort();
    const words = commandLine(['script', `${directory}/hello`]).map((word) => `'${word}'`);
    const wrapper = `#!/bin/sh\nexec ${words.join(' ')}\n`;
    await makeTree(directory, { wrapper: { content: wrapper, mode: 0o755 } });
    await mkdir(`${directory}/www`);
    await writeFile(
      `${directory}/lighttpd.conf`,
      `server.modules = ( "mod_fastcgi" )
server.bind = "127.0.0.1"
server.port = ${String(port)}
server.document-root = "${directory}/www"
server.errorlog = "${directory}/error.log"
fastcgi.server = ( "/" => (( "bin-path" => "${directory}/wrapper", "socket" => "${directory}/sock", "max-procs" => 1, "check-local" => "disable" )) )
`,
    );
    const web = await startProgram('lighttpd', ['-D', '-f', `${directory}/lighttpd.conf`], port);
    let pid: number;
    try {
      const { status, body } = await fetchRaw(web.url, '/x');
      assert.equal(status, 200);
      pid = Number(/hello from (\d+)/.exec(body.toString())?.[1]);
      assert.equal(isRunning(pid), true);
    } finally {
      await web.stop();
    }
    await vanished(pid);
  });
});

describe('A TCP port that is taken', () => {
  it('is an error that names it', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    try {
      const bound = other.address();
      const address = `127.0.0.1:${String(typeof bound === 'object' ? bound?.port : '')}`;
      const ended = await runBridge([...script, '--listen', address]);
      assert.equal(ended.status, 1);
      assert.match(ended.stderr, new RegExp(`^fcgi2cgi: ${address}: can't listen: .*EADDRINUSE.*\n$`));
    } finally {
      other.close();
    }
  });
});
