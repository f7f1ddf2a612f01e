import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rm, stat } from 'node:fs/promises';
import { createConnection, Server } from 'node:net';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';

import { ALIVE, makePrivateDirectory } from '../../src/runners/private-directory.js';
import { temporaryDirectory } from '../helpers/temporary.js';

describe('A private directory', () => {
  it('is nobody else’s, in one of this process that says that the process lives', async () => {
    const base = await temporaryDirectory();
    const [one, other] = await Promise.all([makePrivateDirectory(base), makePrivateDirectory(base)]);
    assert.notEqual(one, other);
    const ofProcess = dirname(one);
    assert.equal(dirname(other), ofProcess);
    assert.equal(dirname(ofProcess), base);
    for (const directory of [ofProcess, one]) assert.equal((await stat(directory)).mode & 0o777, 0o700);
    const connection = createConnection(join(ofProcess, ALIVE));
    await once(connection, 'connect');
    connection.destroy();
  });

  it('costs the process nothing where a connection to it can’t be accepted', async (t) => {
    const listen = t.mock.method(Server.prototype, 'listen');
    await makePrivateDirectory(await temporaryDirectory());
    const server = listen.mock.calls[0]?.this as Server | undefined;
    assert.ok(server?.emit('error', new Error('accept EMFILE')));
  });

  it('can be made again after somebody has cleaned up', async () => {
    const base = await temporaryDirectory();
    await rm(dirname(await makePrivateDirectory(base)), { recursive: true });
    assert.equal(dirname(dirname(await makePrivateDirectory(base))), base);
  });

  it('can’t be made where nothing can', async () => {
    await assert.rejects(makePrivateDirectory('/nowhere'), { code: 'ENOENT' });
  });
});
