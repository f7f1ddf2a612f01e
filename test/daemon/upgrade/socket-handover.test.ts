import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, fstatSync, openSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { describe, it } from 'node:test';

import { AllowFrom } from '../../../src/daemon/listening/address.js';
import { ReceivedHandover } from '../../../src/daemon/upgrade/socket-handover.js';
import { descriptorOf } from '../../../src/posix/descriptors.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

describe('What is left to a process', () => {
  it('is found once, and closed where nobody has taken it, with who waits there', async () => {
    const descriptors = Array.from({ length: 3 }, () => openSync('/dev/null', 'r'));
    const [descriptor, ...waiting] = descriptors;
    const socket = { mode: 0o660 };
    const contents = {
      sockets: [{ address: '127.0.0.1:1', descriptor, waiting, socket }],
      // As where root has opened it for the user whom it serves as.
      pid: process.pid,
    };
    process.env['FCGI2CGI_HANDOVER'] = JSON.stringify(contents);
    const left = ReceivedHandover.find() ?? assert.fail('it is there');
    assert.equal(ReceivedHandover.find(), undefined);
    assert.deepEqual(left.again().descriptors, descriptors);
    await left.closeRest();
    for (const each of descriptors) assert.throws(() => fstatSync(each), { code: 'EBADF' });
    await left.closeRest();
  });

  it('keeps its socket’s file where another process listens there still', async (t) => {
    t.after(() => Reflect.deleteProperty(process, 'connected'));
    const path = `${await temporaryDirectory()}/sock`;
    for (const [pid, isKept] of [
      [1, true],
      [process.pid, false],
    ] as const) {
      writeFileSync(path, '');
      const { dev, ino } = statSync(path);
      const descriptor = openSync('/dev/null', 'r');
      const file = { path, dev, ino };
      const contents = { sockets: [{ address: path, descriptor, waiting: [], file }], pid };
      process.env['FCGI2CGI_HANDOVER'] = JSON.stringify(contents);
      Object.defineProperty(process, 'connected', { value: true, configurable: true });
      await ReceivedHandover.find()?.closeRest();
      assert.throws(() => fstatSync(descriptor), { code: 'EBADF' });
      assert.equal(existsSync(path), isKept);
    }
  });

  it('is a listener of but one site, however many ask for its address', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const socket = { mode: 0o660, owner: undefined, group: undefined };
    const address = { kind: 'tcp', host: '127.0.0.1', port: 1 } as const;
    const sockets = [{ address: '127.0.0.1:1', descriptor: descriptorOf(server), waiting: [], socket }];
    process.env['FCGI2CGI_HANDOVER'] = JSON.stringify({ sockets, pid: process.pid });
    const left = ReceivedHandover.find() ?? assert.fail('it is there');
    const ignore = (): void => undefined;
    const options = {
      socket,
      backlog: 20,
      allowFrom: new AllowFrom([]),
      onProblem: ignore,
      onStranger: ignore,
    };
    try {
      const first = await left.take(address, options);
      assert.deepEqual([left.takerOf(0) === first, left.taken], [true, [0]]);
      assert.ok((await left.take(address, options)) === undefined);
    } finally {
      server.close();
    }
  });

  it('is nothing where its previous process is no more to be reached', (t) => {
    t.after(() => Reflect.deleteProperty(process, 'connected'));
    Object.defineProperty(process, 'connected', { value: false, configurable: true });
    process.env['FCGI2CGI_HANDOVER'] = JSON.stringify({ sockets: [], pid: 1 });
    assert.equal(ReceivedHandover.find(), undefined);
  });
});
