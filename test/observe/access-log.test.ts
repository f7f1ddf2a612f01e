import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { rename, stat } from 'node:fs/promises';
import { beforeEach, describe, it } from 'node:test';

import fc from 'fast-check';

import { type Access, openAccessLog } from '../../src/observe/access-log.js';
import { answered } from '../helpers/access.js';
import { temporaryDirectory } from '../helpers/temporary.js';

let file: string;

beforeEach(async () => {
  file = `${await temporaryDirectory()}/access`;
});

const unknown: Access = {
  ...answered,
  client: '',
  method: '',
  uri: '',
  status: undefined,
  queueMs: undefined,
  firstMs: undefined,
  pid: undefined,
  exitStatus: undefined,
  end: 'aborted',
};

const lines = (): string[] => readFileSync(file, 'utf8').split('\n').slice(0, -1);
const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

describe('The access log', () => {
  it('as text has the same fields in each line, in a fixed order', () => {
    const log = openAccessLog({ file, format: 'text' });
    const killed = { ...answered, exitStatus: undefined, signal: 'SIGKILL' };
    const named = { ...answered, site: 'hg.example.org' };
    for (const access of [answered, unknown, killed, named]) log.write(access);
    const [first = '', ...rest] = lines().map((line) => line.slice(line.indexOf(' ') + 1));
    assert.match(lines()[0]?.split(' ')[0] ?? '', time);
    assert.equal(
      first,
      '5f0c2a1e-17 "192.0.2.7" "GET" "/project.hg/?x=é" 200 0 5120 0.0 35.3 1036.1 4711 0 completed -',
    );
    assert.deepEqual(rest, [
      '5f0c2a1e-17 - - - - 0 5120 - - 1036.1 - - aborted -',
      first.replace(' 0 completed', ' SIGKILL completed'),
      first.replace(/-$/, '"hg.example.org"'),
    ]);
  });

  it('as JSON has the same names in each object, with their units', () => {
    const log = openAccessLog({ file, format: 'json' });
    log.write(answered);
    log.write({ ...unknown, site: 'hg.example.org' });
    const [first, second] = lines().map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.match(String(first?.['time']), time);
    const common = { time: '', id: '5f0c2a1e-17', in_bytes: 0, out_bytes: 5120, total_ms: 1036.1 };
    assert.deepEqual(
      { ...first, time: '' },
      {
        ...common,
        client: '192.0.2.7',
        method: 'GET',
        uri: '/project.hg/?x=é',
        status: 200,
        queue_ms: 0,
        first_ms: 35.3,
        pid: 4711,
        exit_status: 0,
        signal: null,
        end: 'completed',
        site: null,
      },
    );
    assert.deepEqual(Object.keys(second ?? {}), Object.keys(first ?? {}));
    assert.deepEqual(
      { ...second, time: '' },
      {
        ...common,
        client: null,
        method: null,
        uri: null,
        status: null,
        queue_ms: null,
        first_ms: null,
        pid: null,
        exit_status: null,
        signal: null,
        end: 'aborted',
        site: 'hg.example.org',
      },
    );
  });

  it('tells what the network has called - from what is not known', () => {
    openAccessLog({ file, format: 'text' }).write({ ...unknown, uri: '-' });
    assert.match(lines()[0] ?? '', / - - "-" - /);
  });

  const text = fc.oneof(
    fc.string({ unit: 'binary', minLength: 1 }),
    fc.constantFrom('" 200 "', '\n', '\r\n2026-11-22T10:00:00.000Z', '\u2028', '\\', ' - - ', '\t"'),
  );

  it('as text can’t be made to have another line or field by any text from the network', () => {
    const log = openAccessLog({ file, format: 'text' });
    let count = 0;
    fc.assert(
      fc.property(text, text, text, (client, method, uri) => {
        log.write({ ...answered, client, method, uri });
        count += 1;
        const written = lines();
        assert.equal(written.length, count);
        const line = written.at(-1) ?? '';
        assert.doesNotMatch(line, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
        const fields = line.split(/\s/u);
        assert.equal(fields.length, 15);
        assert.equal(line.split('"').length, 7);
        assert.deepEqual(
          fields.slice(2, 5).map((field) => JSON.parse(field) as unknown),
          [client, method, uri],
        );
        assert.equal(fields[5], '200');
      }),
    );
  });

  it('as JSON gives back any text from the network that is text', () => {
    const log = openAccessLog({ file, format: 'json' });
    fc.assert(
      fc.property(text, (uri) => {
        log.write({ ...answered, uri });
        const line = lines().at(-1) ?? '';
        assert.doesNotMatch(line, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
        assert.equal((JSON.parse(line) as { uri: string }).uri, uri);
      }),
    );
  });

  it('is not for everybody to read, and is begun anew after it was moved away', async () => {
    const log = openAccessLog({ file, format: 'text' });
    assert.equal((await stat(file)).mode & 0o007, 0);
    log.write(answered);
    await rename(file, `${file}.1`);
    log.reopen();
    log.write(unknown);
    assert.match(readFileSync(`${file}.1`, 'utf8'), /completed -\n$/);
    assert.match(readFileSync(file, 'utf8'), /^[^\n]* aborted -\n$/);
  });

  it('that can’t be written says so once, how many were lost when it can, and again after that', () => {
    const lost: string[] = [];
    const log = openAccessLog({ file: '/dev/full', format: 'text' }, (why) => lost.push(why));
    for (const access of [answered, unknown]) log.write(access);
    log.reopen({ file, format: 'text' });
    log.write(answered);
    log.reopen({ file: '/dev/full', format: 'text' });
    log.write(answered);
    assert.equal(lost.length, 3);
    assert.match(lost[0] ?? '', /^--access-log loses lines: ENOSPC: /);
    assert.match(lost[1] ?? '', /^--access-log: 2 lines were lost: ENOSPC: /);
    assert.equal(lines().length, 1);
  });

  it('that can’t be opened is an error that names the option and the file', () => {
    assert.throws(() => openAccessLog({ file: `${file}/below/log`, format: 'text' }), {
      code: 'ERR_LOG_FILE',
      message: new RegExp(`^--access-log ${file}/below/log can't be opened: `),
    });
  });
});
