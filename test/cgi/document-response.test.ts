import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { documentOctets } from '../../src/cgi/document-response.js';

describe('A document response', () => {
  it('has its status with its name, its fields in their order, and its body octet by octet', () => {
    const octets = documentOctets({
      status: 200,
      fields: [
        ['Content-Type', 'image/png'],
        ['ETag', '"x"'],
      ],
      body: Buffer.of(0, 255, 10),
    });
    const expected = 'Status: 200 OK\r\nContent-Type: image/png\r\nETag: "x"\r\n\r\n\x00\xff\n';
    assert.equal(octets.toString('latin1'), expected);
  });

  it('may have neither fields nor body', () => {
    const octets = documentOctets({ status: 304, fields: [], body: Buffer.alloc(0) });
    assert.equal(octets.toString('latin1'), 'Status: 304 Not Modified\r\n\r\n');
  });
});
