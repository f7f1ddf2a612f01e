import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { openSync, closeSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { createConnection, createServer, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { afterEach, describe, it } from 'node:test';

import { type Address, parseAddress } from '../../src/daemon/address.js';
import { AllowFrom } from '../../src/daemon/allow-from.js';
import { Listener } from '../../src/daemon/listener.js';
import { temporaryDirectory } from '../helpers/temporary.js';

const hasV6 = Object.values(networkInterfaces())
  .flat()
  .some((each) => each?.address === '::1');

interface Opened extends Listener {
  readonly port: number;
  /** `connection`, or why one was refused, in the order of events. */
  readonly events: readonly string[];
  readonly accepted: readonly Socket[];
  /** Resolves when there are so many events. */
  seen(count: number): Promise<void>;
}

const opened: Opened[] = [];

afterEach(async () => {
  for (const listener of opened.splice(0)) {
    for (const socket of listener.accepted) socket.destroy();
    await listener.close();
  }
});

/** Listens at what a text says, or at a descriptor of whatever number. */
async function open(
  given: string | number,
  { allowFrom = [] }: { allowFrom?: readonly string[] } = {},
): Promise<Opened> {
  const address: Address = typeof given === 'number' ? { kind: 'fd', fd: given } : parseAddress(given);
  const events: string[] = [];
  const accepted: Socket[] = [];
  const waiting = new Map<number, () => void>();
  const note = (event: string): void => {
    events.push(event);
    waiting.get(events.length)?.();
  };
  const listener = await Listener.bind(address, {
    socket: { mode: 0o660, owner: undefined, group: undefined },
    allowFrom: new AllowFrom(allowFrom),
    onProblem: note,
  });
  await listener.ready();
  listener.accept((socket) => {
    accepted.push(socket);
    socket.on('error', () => undefined);
    note('connection');
  });
  const port = Number(/:(\d+)$/.exec(listener.address)?.[1]);
  const seen = (count: number): Promise<void> =>
    new Promise((resolve) => {
      waiting.set(count, resolve);
      if (events.length >= count) resolve();
    });
  const all = Object.assign(listener, { port, events, accepted, seen });
  opened.push(all);
  return all;
}

/** A Unix socket that does not accept yet. */
async function bindUnix(): Promise<{ path: string; bound: Listener }> {
  const path = `${await temporaryDirectory()}/sock`;
  const bound = await Listener.bind(parseAddress(path), {
    socket: { mode: 0o660, owner: undefined, group: undefined },
    allowFrom: new AllowFrom([]),
    onProblem: (why) => assert.fail(why),
  });
  return { path, bound };
}

/** Connects, and waits for the other side to close unless `stay`. */
async function connect(
  where: { port: number; host?: string } | { path: string },
  stay = true,
): Promise<Socket> {
  const socket = createConnection({ host: '127.0.0.1', ...where });
  socket.on('error', () => undefined);
  if (stay) await once(socket, 'connect');
  else {
    socket.resume();
    await once(socket, 'close');
  }
  return socket;
}

describe('A listener', () => {
  it('accepts on a Unix socket, and removes its file when it is closed', async () => {
    const directory = await temporaryDirectory();
    const listener = await open(`unix:${directory}/sock`);
    assert.equal(listener.address, `unix:${directory}/sock`);
    const socket = await connect({ path: `${directory}/sock` });
    await listener.seen(1);
    assert.deepEqual(listener.events, ['connection']);
    await listener.close();
    assert.deepEqual(await readdir(directory), []);
    socket.destroy();
  });

  it('lets who connects wait, and reads nothing of what it sends, until it is to accept', async () => {
    const { path, bound } = await bindUnix();
    const early = await connect({ path });
    await new Promise((resolve) => early.write('sent early', resolve));
    // The event loop goes round with all of it there.
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
    const socket = await new Promise<Socket>((resolve) => {
      bound.accept(resolve);
    });
    assert.equal(socket.bytesRead, 0);
    const [octets] = (await once(socket.resume(), 'data')) as [Buffer];
    assert.equal(octets.toString(), 'sent early');
    early.destroy();
    socket.destroy();
    await bound.close();
  });

  it('closes who waits when it is closed', async () => {
    const { path, bound } = await bindUnix();
    const early = await connect({ path });
    await new Promise((resolve) => setImmediate(resolve));
    early.resume();
    await Promise.all([once(early, 'close'), bound.close()]);
  });

  it('accepts on IPv4 loopback, and tells the port that the system chose', async () => {
    const listener = await open('127.0.0.1:0');
    assert.match(listener.address, /^127\.0\.0\.1:[1-9]\d*$/);
    (await connect(listener)).destroy();
    await listener.seen(1);
    assert.deepEqual(listener.events, ['connection']);
  });

  it('accepts on IPv6 loopback, shown in brackets', { skip: !hasV6 }, async () => {
    const listener = await open('[::1]:0');
    assert.match(listener.address, /^\[::1\]:[1-9]\d*$/);
    (await connect({ port: listener.port, host: '::1' })).destroy();
    await listener.seen(1);
    assert.deepEqual(listener.events, ['connection']);
  });

  it('accepts on a name that means loopback', async () => {
    const listener = await open('localhost:0');
    assert.match(listener.address, /^(127\.0\.0\.1|\[::1\]):[1-9]\d*$/);
  });

  it('accepts no more once it is closed, and what it has accepted goes on', async () => {
    const listener = await open('127.0.0.1:0');
    const socket = await connect(listener);
    await listener.seen(1);
    await listener.close();
    await assert.rejects(once(createConnection(listener.port, '127.0.0.1'), 'connect'), {
      code: 'ECONNREFUSED',
    });
    listener.accepted[0]?.write('still here');
    const [octets] = (await once(socket, 'data')) as [Buffer];
    assert.equal(octets.toString(), 'still here');
    socket.destroy();
  });

  it('keeps its side open when the other has ended', async () => {
    const listener = await open('127.0.0.1:0');
    const socket = await connect(listener);
    await listener.seen(1);
    socket.end();
    listener.accepted[0]?.resume();
    await once(listener.accepted[0] ?? socket, 'end');
    listener.accepted[0]?.end('an answer');
    const [octets] = (await once(socket, 'data')) as [Buffer];
    assert.equal(octets.toString(), 'an answer');
  });

  for (const address of ['0.0.0.0:0', ...(hasV6 ? ['[::]:0'] : [])]) {
    it(`does not listen on ${address} unless it is told who may connect`, async () => {
      await assert.rejects(open(address), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'ERR_LISTEN');
        assert.ok(error.message.startsWith(`${address}: `), error.message);
        assert.match(
          error.message,
          /not a loopback address; name the web servers .* --allow-from ADDRESS\[\/BITS\]$/,
        );
        return true;
      });
      const listener = await open(address, { allowFrom: ['127.0.0.1', '::1'] });
      (await connect({ port: listener.port, host: address.startsWith('[') ? '::1' : '127.0.0.1' })).destroy();
      await listener.seen(1);
      assert.deepEqual(listener.events, ['connection']);
    });
  }

  it('closes a connection at once that comes from elsewhere than it may, and says from where', async () => {
    const listener = await open('127.0.0.1:0', { allowFrom: ['192.0.2.1'] });
    await connect(listener, false);
    assert.deepEqual(listener.events, ['connection from 127.0.0.1, which --allow-from does not name']);
  });

  it('takes nothing from who has sent a request and reset the connection before it was looked at', async () => {
    const listener = await open('127.0.0.1:0', { allowFrom: ['192.0.2.1'] });
    const program = `import socket, struct, sys
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
s.sendall(b'a request')
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
s.close()`;
    // This process looks at the connection when the program has ended.
    execFileSync('python3', ['-c', program, String(listener.port)]);
    await listener.seen(1);
    assert.deepEqual(listener.events, [
      'connection from a host that has left, which --allow-from does not name',
    ]);
  });

  it('can’t have a port that is taken, a host that there is not, or a descriptor that is none', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const bound = taken.address();
    const port = typeof bound === 'object' ? bound?.port : undefined;
    const regular = openSync('/dev/null', 'r');
    try {
      for (const [address, why] of [
        [`127.0.0.1:${String(port)}`, /EADDRINUSE/],
        ['no-such-host.invalid:0', /ENOTFOUND|EAI_AGAIN/],
        [regular, /the descriptor is no socket/],
        [987, /EBADF/],
      ] as const) {
        await assert.rejects(open(address), (error: Error & { code?: string }) => {
          assert.equal(error.code, 'ERR_LISTEN');
          const shown = typeof address === 'number' ? `fd:${String(address)}` : address;
          assert.ok(error.message.startsWith(`${shown}: can't listen: `), error.message);
          assert.match(error.message, why);
          return true;
        });
      }
    } finally {
      taken.close();
      closeSync(regular);
    }
  });
});
