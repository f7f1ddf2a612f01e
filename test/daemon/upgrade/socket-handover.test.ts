import assert from 'node:assert/strict';
import { fstatSync, openSync } from 'node:fs';
import { describe, it } from 'node:test';

import { ReceivedHandover } from '../../../src/daemon/upgrade/socket-handover.js';

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
});
