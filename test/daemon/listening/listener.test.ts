import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readdir, unlink } from 'node:fs/promises';
import { createConnection, createServer, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { afterEach, describe, it } from 'node:test';

import { type Address, AllowFrom, parseAddress } from '../../../src/daemon/listening/address.js';
import { Listener, type ListenerOptions } from '../../../src/daemon/listening/listener.js';
import { descriptorOf } from '../../../src/posix/descriptors.js';
import { systemCodeOf } from '../../../src/base/errors.js';
import { loadLibC } from '../../../src/posix/libc.js';
import { until } from '../../helpers/processes.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

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

const plain = { socket: { mode: 0o660, owner: undefined, group: undefined } };
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
  { allowFrom = [], backlog = 511 }: { allowFrom?: readonly string[]; backlog?: number } = {},
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
    ...plain,
    backlog,
    allowFrom: new AllowFrom(allowFrom),
    onProblem: note,
    onStranger: note,
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

/** Options of a listener of which nobody is told anything. */
function silent(backlog: number): ListenerOptions {
  const ignore = (): void => undefined;
  return { ...plain, backlog, allowFrom: new AllowFrom([]), onProblem: ignore, onStranger: ignore };
}

/** A Unix socket that does not accept yet. */
async function bindUnix(): Promise<{ path: string; bound: Listener }> {
  const path = `${await temporaryDirectory()}/sock`;
  const bound = await Listener.bind(parseAddress(path), {
    socket: { mode: 0o660, owner: undefined, group: undefined },
    backlog: 511,
    allowFrom: new AllowFrom([]),
    onProblem: (why) => assert.fail(why),
    onStranger: (why) => assert.fail(why),
  });
  return { path, bound };
}

/** How many connections the system keeps for a TCP socket that listens: what ss(8) shows as its Send-Q. */
function backlogOf(descriptor: number): number {
  const TCP_INFO_SACKED =
    'import socket, struct; print(struct.unpack_from("I", socket.socket(fileno=0).getsockopt(6, 11, 64), 28)[0])';
  return Number(
    execFileSync('/usr/bin/python3', ['-c', TCP_INFO_SACKED], {
      stdio: [descriptor, 'pipe', 'inherit'],
      encoding: 'utf8',
    }),
  );
}

/** Node has each descriptor but once in its event loop. */
function duplicate(descriptor: number): number {
  const libc = loadLibC();
  assert.ok(libc.kind === 'loaded');
  const F_DUPFD = 0;
  return libc.libc.fcntl(descriptor, F_DUPFD, 'int', 0);
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

  it('takes in 256 of those who wait, and leaves the others to the system until it is to accept', async () => {
    const { path, bound } = await bindUnix();
    const early = await Promise.all(Array.from({ length: 260 }, () => connect({ path })));
    const waiting = (): number => bound.handover().waiting.length;
    await until(() => waiting() >= 256);
    for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(waiting(), 256);
    const accepted: Socket[] = [];
    bound.accept((socket) => accepted.push(socket));
    await until(() => accepted.length === 260);
    for (const socket of [...early, ...accepted]) socket.destroy();
    await bound.close();
  });

  it('is another process’s to take over as long as its file is there: else nobody would reach it', async () => {
    const { path, bound } = await bindUnix();
    const taken = (): Promise<Listener | undefined> =>
      Listener.takeOver({ kind: 'unix', path }, bound.handover(), silent(20), { isBorrowed: true });
    try {
      assert.ok((await taken()) !== undefined);
      await unlink(path);
      assert.ok((await taken()) === undefined);
    } finally {
      await bound.close();
    }
  });

  it('takes no connection from the process that it is to take over from before it accepts', async () => {
    const { path, bound } = await bindUnix();
    const handover = { ...bound.handover(), descriptor: duplicate(bound.handover().descriptor) };
    const options = { isBorrowed: true };
    const next = await Listener.takeOver({ kind: 'unix', path }, handover, silent(20), options);
    assert.ok(next !== undefined);
    await next.ready();
    const accepted: Socket[] = [];
    try {
      // The one before does not look now.
      assert.ok(bound.server.hold());
      const socket = await connect({ path });
      for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve));
      assert.deepEqual(next.handover().waiting, []);
      next.accept((each) => accepted.push(each));
      await until(() => accepted.length > 0);
      for (const each of [socket, ...accepted]) each.destroy();
    } finally {
      next.release();
      await bound.close();
    }
  });

  it('has the system keep as many connections as it is told', async () => {
    const directory = await temporaryDirectory();
    for (const [name, backlog] of [['long', 100] as const, ['short', 10] as const]) {
      const listener = await open(`${directory}/${name}`, { backlog });
      // Nobody accepts before the event loop goes round.
      const sockets = Array.from({ length: 60 }, () => createConnection(`${directory}/${name}`));
      const ends = sockets.map((socket) => once(socket, 'connect').then(() => 'connected', systemCodeOf));
      const connected = (await Promise.all(ends)).filter((end) => end === 'connected');
      assert.equal(connected.length, Math.min(60, backlog + 1));
      await listener.seen(connected.length);
      for (const socket of sockets) socket.destroy();
    }
  });

  it('has it keep as many as other options say, once it accepts with them', async () => {
    const listener = await open('127.0.0.1:0', { backlog: 20 });
    assert.equal(backlogOf(listener.handover().descriptor), 20);
    listener.accept(() => undefined, silent(30));
    assert.equal(backlogOf(listener.handover().descriptor), 30);
  });

  it('never has it keep fewer than before of a socket that somebody else has made', async () => {
    const other = createServer().listen(0, '127.0.0.1', 700);
    await once(other, 'listening');
    const descriptor = duplicate(descriptorOf(other) ?? -1);
    other.close();
    const before = backlogOf(descriptor);
    await open(descriptor, { backlog: 5 });
    assert.ok(backlogOf(descriptor) >= before, String(backlogOf(descriptor)));
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

  it('on [::] is no listener on IPv4', { skip: !hasV6 }, async () => {
    const { port } = await open('[::]:0', { allowFrom: ['::1'] });
    const connecting = once(createConnection(port, '127.0.0.1'), 'connect');
    await assert.rejects(connecting, { code: 'ECONNREFUSED' });
  });

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
    execFileSync('/usr/bin/python3', ['-c', program, String(listener.port)]);
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
