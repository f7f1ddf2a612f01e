import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import fc from 'fast-check';

import { type Address, formatAddress, parseAddress } from '../../../src/daemon/listening/address.js';

describe('An address', () => {
  it('is a Unix socket when it begins with unix: or is an absolute path', () => {
    assert.deepEqual(parseAddress('unix:/run/sock'), { kind: 'unix', path: '/run/sock' });
    assert.deepEqual(parseAddress('/run/sock'), { kind: 'unix', path: '/run/sock' });
    assert.deepEqual(parseAddress('/run/a:80'), { kind: 'unix', path: '/run/a:80' });
    assert.deepEqual(parseAddress('unix:fd:3'), { kind: 'unix', path: `${process.cwd()}/fd:3` });
  });

  it('that is a relative socket path counts from the working directory', () => {
    assert.deepEqual(parseAddress('unix:sock'), { kind: 'unix', path: `${process.cwd()}/sock` });
    assert.deepEqual(parseAddress('unix:../sock'), {
      kind: 'unix',
      path: new URL('../sock', `file://${process.cwd()}/`).pathname,
    });
  });

  it('is TCP when it is a host and a port', () => {
    assert.deepEqual(parseAddress('127.0.0.1:9000'), { kind: 'tcp', host: '127.0.0.1', port: 9000 });
    assert.deepEqual(parseAddress('localhost:0'), { kind: 'tcp', host: 'localhost', port: 0 });
    assert.deepEqual(parseAddress('[::1]:65535'), { kind: 'tcp', host: '::1', port: 65535 });
    assert.deepEqual(parseAddress('[fe80::1%eth0]:1'), { kind: 'tcp', host: 'fe80::1%eth0', port: 1 });
  });

  it('is a descriptor when it is fd: and a number', () => {
    assert.deepEqual(parseAddress('fd:0'), { kind: 'fd', fd: 0 });
    assert.deepEqual(parseAddress('fd:13'), { kind: 'fd', fd: 13 });
  });

  const wrong: readonly (readonly [string, RegExp])[] = [
    ['', /this is no address/],
    ['sock', /this is no address/],
    ['9000', /this is no address/],
    ['::1:9000', /this is no address/],
    ['host:', /this is no address/],
    ['host:-1', /this is no address/],
    ['host:80 ', /this is no address/],
    ['host:80\n', /this is no address/],
    ['fd:', /this is no address/],
    ['fd:x', /this is no address/],
    ['fd:16', /programs would inherit a descriptor above 15/],
    ['fd:-1', /this is no address/],
    ['systemd:', /a socket of systemd has a name of 1 to 255 characters/],
    ['unix:', /the path is missing/],
    [':9000', /the host is missing; 0\.0\.0\.0 means every IPv4 address/],
    ['[]:9000', /no IPv6 address/],
    ['[127.0.0.1]:9000', /no IPv6 address/],
    ['[localhost]:9000', /no IPv6 address/],
    ['host:65536', /a port is at most 65535/],
    ['host:99999999999999999999', /a port is at most 65535/],
  ];

  for (const [text, why] of wrong) {
    it(`is refused as ${JSON.stringify(text)}, with what it was, why, and what is expected`, () => {
      assert.throws(
        () => parseAddress(text),
        (error: Error & { code?: string }) => {
          assert.equal(error.code, 'ERR_USAGE');
          assert.ok(error.message.startsWith(`--listen ${text}: `), error.message);
          assert.match(error.message, why);
          assert.match(
            error.message,
            /expected unix:\/path, \/path, HOST:PORT, \[v6\]:PORT, fd:N or systemd\[:NAME\]$/,
          );
          return true;
        },
      );
    });
  }

  it('is written in the form that is read', () => {
    const plain = { noNullPrototype: true };
    const addresses: fc.Arbitrary<Address> = fc.oneof(
      fc.record(
        { kind: fc.constant('unix' as const), path: fc.constantFrom('/a', '/run/x:80', '/a b') },
        plain,
      ),
      fc.record({ kind: fc.constant('fd' as const), fd: fc.nat(15) }, plain),
      fc.record(
        {
          kind: fc.constant('tcp' as const),
          host: fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain()),
          port: fc.nat(65_535),
        },
        plain,
      ),
    );
    fc.assert(
      fc.property(addresses, (address) => {
        assert.deepEqual(parseAddress(formatAddress(address)), address);
      }),
    );
  });
});
