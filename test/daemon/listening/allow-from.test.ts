import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { AllowFrom } from '../../../src/daemon/listening/address.js';

const allowed = (entries: readonly string[], hosts: readonly string[]): readonly string[] => {
  const allowFrom = new AllowFrom(entries);
  return hosts.filter((host) => allowFrom.allows(host));
};

describe('The hosts that may connect', () => {
  it('are those of loopback as long as none are named', () => {
    const others = ['126.0.0.1', '128.0.0.1', '::2', '192.0.2.1'];
    const hosts = ['127.0.0.1', '127.255.0.1', '::1', '::ffff:127.0.0.1', ...others];
    assert.deepEqual(allowed([], hosts), hosts.slice(0, 4));
    for (const host of hosts.slice(0, 4)) new AllowFrom([]).checkListening(host);
    for (const host of [...hosts.slice(4), '0.0.0.0', '::', '::ffff:0.0.0.0']) {
      assert.throws(() => {
        new AllowFrom([]).checkListening(host);
      }, /^BridgeError: not a loopback address; name the web servers .* --allow-from/);
    }
  });

  it('are no longer those of loopback once others are named', () => {
    assert.deepEqual(allowed(['192.0.2.1'], ['192.0.2.1', '127.0.0.1', '::1']), ['192.0.2.1']);
    for (const host of ['0.0.0.0', '::', '127.0.0.1']) new AllowFrom(['192.0.2.1']).checkListening(host);
  });

  it('are named one by one', () => {
    assert.deepEqual(
      allowed(['192.0.2.1', '2001:db8::1'], ['192.0.2.1', '192.0.2.2', '2001:db8::1', '2001:db8::2']),
      ['192.0.2.1', '2001:db8::1'],
    );
  });

  it('are named by the bits that their addresses share', () => {
    assert.deepEqual(allowed(['192.0.2.0/25'], ['192.0.2.0', '192.0.2.127', '192.0.2.128']), [
      '192.0.2.0',
      '192.0.2.127',
    ]);
    assert.deepEqual(allowed(['2001:db8::/64'], ['2001:db8::ff', '2001:db8:0:1::']), ['2001:db8::ff']);
    assert.deepEqual(allowed(['0.0.0.0/0'], ['192.0.2.1', '8.8.8.8']), ['192.0.2.1', '8.8.8.8']);
    assert.deepEqual(allowed(['192.0.2.7/32'], ['192.0.2.7', '192.0.2.6']), ['192.0.2.7']);
  });

  it('are the same when a socket for both versions shows IPv4 as IPv6', () => {
    assert.deepEqual(allowed(['192.0.2.0/24'], ['::ffff:192.0.2.9', '::ffff:192.0.3.9']), [
      '::ffff:192.0.2.9',
    ]);
  });

  it('are never those without an address, which connections have that were reset', () => {
    assert.deepEqual(allowed(['0.0.0.0/0', '::/0'], ['', 'undefined', 'localhost']), []);
  });

  for (const entry of [
    '',
    'localhost',
    '192.0.2',
    '192.0.2.1/',
    '192.0.2.1/33',
    '10.0.0.0/8/9',
    '::1/129',
    '192.0.2.1/x',
    '192.0.2.1/-1',
    '/8',
  ]) {
    it(`can’t be named ${JSON.stringify(entry)}, and the error says what could`, () => {
      assert.throws(() => new AllowFrom([entry]), {
        code: 'ERR_USAGE',
        message: `--allow-from ${entry}: expected an IP address or ADDRESS/BITS, as in 192.0.2.0/24`,
      });
    });
  }
});
