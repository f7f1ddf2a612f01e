import assert from 'node:assert/strict';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { before, describe, it } from 'node:test';

import fc from 'fast-check';

import { fromBuffer, fromText, toBuffer } from '../../src/base/bytes.js';
import { compile } from '../helpers/compile.js';
import { startProcess } from '../helpers/spawn-method.js';
import { temporaryDirectory } from '../helpers/temporary.js';

const NAME = 'QUERY_STRING';
/** What Linux lets a variable have, its name and its end included. */
const MAX_BYTES = 128 * 1024;

const programs: Record<string, readonly string[]> = {
  sh: ['/bin/sh', '-c', 'printf %s "$QUERY_STRING"'],
  Perl: ['/usr/bin/perl', '-e', 'print $ENV{QUERY_STRING}'],
  Python: ['/usr/bin/python3', '-c', 'import os, sys; sys.stdout.buffer.write(os.environb[b"QUERY_STRING"])'],
};

before(async () => {
  const file = join(await temporaryDirectory(), 'prints-variable');
  compile('prints-variable.c', file);
  programs['C'] = [fromText(file), NAME];
});

/** What a program sees of a variable's value. */
async function seen(language: string, value: Buffer): Promise<Buffer> {
  const [file = '', ...args] = programs[language] ?? [];
  const variables = new Map([
    ['PATH', fromText(process.env['PATH'] ?? '')],
    [NAME, fromBuffer(value)],
  ]);
  const { stdin, stdout, stderr, exited } = await startProcess({ file, args, directory: '/', variables });
  stdin.end();
  const [out, complaint] = await Promise.all([buffer(stdout), buffer(stderr), exited]);
  assert.equal(complaint.toString(), '');
  return out;
}

/** Any octets but NUL, some of them as text. */
const value = fc.oneof(
  fc.uint8Array({ min: 1, maxLength: 200 }),
  fc.uint8Array({ min: 1, minLength: 15_000, maxLength: 60_000, size: 'max' }),
  fc.string({ unit: 'grapheme' }).map((text) => toBuffer(fromText(text.replaceAll('\0', '')))),
  fc
    .constantFrom('\n', "'", '\\', '%', '$', '.', '-', '\xff', '\xc3')
    .map((octet) => toBuffer(octet.repeat(70_000))),
);

/** 100 KB in which each octet follows on each other. */
const large = Buffer.from(
  Array.from({ length: 100_000 }, (_, index) => ((index * (1 + (index >> 8))) % 255) + 1),
);

for (const language of ['sh', 'Perl', 'Python', 'C']) {
  describe(`The environment of a program in ${language}`, { timeout: 300_000 }, () => {
    it('has each value octet by octet', async () => {
      await fc.assert(
        fc.asyncProperty(value, async (octets) => {
          assert.deepEqual(await seen(language, Buffer.from(octets)), Buffer.from(octets));
        }),
        { numRuns: 12 },
      );
    });

    it('has values of 100 KB, and as large as the system lets them be', async () => {
      assert.deepEqual(await seen(language, large), large);
      const largest = Buffer.alloc(MAX_BYTES - `${NAME}=\0`.length, '\xff', 'latin1');
      assert.deepEqual(await seen(language, largest), largest);
    });
  });
}

describe('A variable that is larger', () => {
  for (const octet of ['x', '\xff']) {
    it(`is an ERR_SPAWN with E2BIG, of ${octet}`, async () => {
      const octets = Buffer.alloc(MAX_BYTES - `${NAME}=\0`.length + 1, octet, 'latin1');
      await assert.rejects(seen('C', octets), (error: Error & { code?: string }) => {
        assert.equal(error.code, 'ERR_SPAWN');
        assert.equal((error.cause as { code?: string }).code, 'E2BIG');
        return true;
      });
    });
  }
});
