import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { ByteBudget } from '../../src/base/bytes.js';
import { PAIR_BYTES, REQUEST_BYTES } from '../../src/fastcgi/params.js';
import { Peer } from '../helpers/peer.js';
import { begin, record, wholeRequest } from '../helpers/records.js';

const KEEP = { flags: 1 };

describe('A budget for the params of all requests', () => {
  it('delivers a request with ERR_MAX_PARAMS_TOTAL where the params of all connections are too many', async () => {
    const paramsBudget = new ByteBudget(2 * REQUEST_BYTES + PAIR_BYTES + 17);
    const [peer, other] = [new Peer({ paramsBudget }), new Peer({ paramsBudget })];
    await other.ask(begin(1, KEEP), record(4, 1, '\x03\x06abcdef'));
    const refused = await peer.request(wholeRequest(1, { ...KEEP, params: '\x03\x0aabcdefghijklm' }));
    assert.equal(refused.problem?.code, 'ERR_MAX_PARAMS_TOTAL');
    assert.deepEqual(refused.params, []);
    // It has nothing any more of what it was sent.
    assert.equal(paramsBudget.takenBytes, 2 * REQUEST_BYTES + 8);
    await refused.end(0);
    const taken = await peer.request(wholeRequest(1, { ...KEEP, params: '\x03\x04abcdefg' }));
    assert.deepEqual(taken.params, [['abc', 'defg']]);
    await other.leave();
    assert.equal(paramsBudget.takenBytes, REQUEST_BYTES + PAIR_BYTES + 9);
    await taken.end(0);
    await peer.leave();
    assert.equal(paramsBudget.takenBytes, 0);
  });

  it('counts each param, since many empty ones take far more than their octets', async () => {
    const paramsBudget = new ByteBudget(REQUEST_BYTES + 100 * PAIR_BYTES);
    const peer = new Peer({ paramsBudget });
    const refused = await peer.request(wholeRequest(1, { ...KEEP, params: '\0\0'.repeat(100) }));
    assert.equal(refused.problem?.code, 'ERR_MAX_PARAMS_TOTAL');
    assert.deepEqual(refused.params, []);
    assert.equal(paramsBudget.takenBytes, REQUEST_BYTES);
    await refused.end(0);
    const taken = await peer.request(wholeRequest(1, { ...KEEP, params: '\0\0'.repeat(90) }));
    assert.equal(taken.params.length, 90);
    await taken.end(0);
    await peer.leave();
    assert.equal(paramsBudget.takenBytes, 0);
  });

  it('refuses a request with a document where no more may begin on all connections', async () => {
    const paramsBudget = new ByteBudget(2 * REQUEST_BYTES - 1);
    const [peer, other] = [new Peer({ paramsBudget }), new Peer({ paramsBudget })];
    await other.ask(begin(1, KEEP));
    const answer = await peer.ask(wholeRequest(1, KEEP));
    assert.deepEqual(answer, ['STDOUT 1 max-params-total', 'STDOUT 1 end', 'END_REQUEST 1 00000000 00']);
    await other.leave();
    assert.equal(paramsBudget.takenBytes, 0);
    assert.equal((await peer.request(wholeRequest(1, KEEP))).problem, undefined);
    await peer.leave();
  });

  it('has room for 4 KiB of what each request takes beside its params', async () => {
    const peer = new Peer({ paramsBudget: new ByteBudget(3 * 4_096 - 1) });
    const answer = await peer.ask(begin(1, KEEP), begin(2, KEEP), begin(3, KEEP));
    assert.deepEqual(answer, ['STDOUT 3 max-params-total', 'STDOUT 3 end', 'END_REQUEST 3 00000000 00']);
    await peer.leave();
  });

  it('makes no request without params of one whose octets alone are too many', async () => {
    const peer = new Peer({ paramsBudget: new ByteBudget(REQUEST_BYTES + 10) });
    const refused = await peer.request(wholeRequest(1, { ...KEEP, params: '\x03\x0aabcdefghijklm' }));
    assert.equal(refused.problem?.code, 'ERR_MAX_PARAMS_TOTAL');
    await refused.end(0);
    await peer.leave();
  });

  it('gives back what too long params have had, at once', async () => {
    const paramsBudget = new ByteBudget(100_000);
    const peer = new Peer({ paramsBudget, maxParamsBytes: 8 });
    await peer.ask(begin(1, KEEP), record(4, 1, '\x03\x08abc'), record(4, 1, 'defghijk'));
    assert.equal(paramsBudget.takenBytes, REQUEST_BYTES);
    await peer.leave();
    assert.equal(paramsBudget.takenBytes, 0);
  });
});
