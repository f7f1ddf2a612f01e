import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { chmod, stat, writeFile } from 'node:fs/promises';
import { beforeEach, describe, it } from 'node:test';

import fc from 'fast-check';

import { openLog, type LogLevel, withFields } from '../../src/observe/log.js';
import { temporaryDirectory } from '../helpers/temporary.js';

let file: string;

beforeEach(async () => {
  file = `${await temporaryDirectory()}/log`;
});

const open = (format: 'text' | 'json', level: LogLevel = 'info'): ReturnType<typeof openLog> =>
  openLog({ level, format, file });
const written = (): string => readFileSync(file, 'utf8');

/** What ends a line, or makes a terminal or an editor show something else than what is there. */
const treacherous = [
  '\n',
  '\r',
  '\r\n',
  '\x1b[2K\x1b[1A',
  '\u0085',
  '\u009b2J',
  '\u2028',
  '\u2029',
  '\u202e',
  '\u200b',
  '\x7f',
  '\0',
  '\u{e0001}',
];
const forged = '2026-01-01T00:00:00.000Z info listening pid=1';

/** What stands in a log must be one line each, for every reader's idea of a line, and visible. */
function assertLines(count: number): string[] {
  const text = written();
  assert.ok(text.endsWith('\n'));
  const lines = text.slice(0, -1).split('\n');
  assert.equal(lines.length, count, text);
  for (const line of lines) assert.doesNotMatch(line, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
  return lines;
}

describe('The log', () => {
  it('says of which levels it writes events, also where they have fields of their own', () => {
    const log = withFields(open('text', 'warn'), { site: 's' });
    const heard = (['error', 'warn', 'info', 'debug'] as const).map((level) => log.hears?.(level));
    assert.deepEqual(heard, [true, true, false, false]);
  });

  it('as text has the time, the level, the message and then the fields', () => {
    open('text').warn({ id: '1a-2', status: 404, uri: '/a b', list: ['x'], none: null }, 'request refused');
    assert.match(
      written(),
      /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z warn request refused id=1a-2 status=404 uri="\/a b" list=\["x"\] none=null\n$/,
    );
  });

  it('as JSON is one object a line', () => {
    const log = open('json');
    log.error({ id: '1', exit: { code: 1 } }, 'a "quoted" message');
    log.info({}, 'another');
    const [first, second] = assertLines(2).map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.match(String(first?.['time']), /^\d{4}-\d\d-\d\dT.*Z$/);
    assert.deepEqual(
      { ...first, time: '' },
      { level: 'error', time: '', id: '1', exit: { code: 1 }, msg: 'a "quoted" message' },
    );
    assert.equal(second?.['msg'], 'another');
  });

  it('leaves out what is below its level', () => {
    const levels = ['debug', 'info', 'warn', 'error'] as const;
    for (const [index, level] of levels.entries()) {
      const log = openLog({ level, format: 'text', file: `${file}-${level}` });
      for (const each of levels) log[each]({}, each);
      const lines = readFileSync(`${file}-${level}`, 'utf8').trimEnd().split('\n');
      assert.deepEqual(
        lines.map((line) => line.split(' ')[1]),
        levels.slice(index),
      );
    }
  });

  it('has written an event when the call returns', () => {
    const log = open('text');
    log.info({}, 'before the crash');
    assert.match(written(), /before the crash\n$/);
  });

  it('is appended to, and a new one is not for everybody to read', async () => {
    open('text').info({}, 'first');
    assert.equal((await stat(file)).mode & 0o007, 0);
    await chmod(file, 0o600);
    open('text').info({}, 'second');
    assert.equal(assertLines(2).length, 2);
    assert.equal((await stat(file)).mode & 0o777, 0o600);
  });

  it('that can’t be opened is an error that names the option and the file', async () => {
    await writeFile(file, '');
    for (const path of [`${file}/below`, `${file}-missing/log`, '/']) {
      assert.throws(
        () => openLog({ level: 'info', format: 'text', file: path }),
        (error: Error & { code?: string }) => {
          assert.equal(error.code, 'ERR_LOG_FILE');
          assert.ok(error.message.startsWith(`--log-file ${path} can't be opened: `), error.message);
          return true;
        },
      );
    }
  });

  it('that can’t be written to any more does not end the daemon', () => {
    const log = openLog({ level: 'info', format: 'text', file: '/dev/full' });
    log.info({}, 'nowhere to go');
    log.info({}, 'and again');
  });

  for (const format of ['text', 'json'] as const) {
    it(`as ${format} says how many lines could not be written, when one can be again`, () => {
      const log = openLog({ level: 'info', format, file: '/dev/full' });
      for (const each of ['one', 'two', 'three']) log.info({}, each);
      log.reopen({ level: 'info', format, file });
      log.info({}, 'four');
      log.info({}, 'five');
      const [loss = '', four = '', five = ''] = assertLines(3);
      assert.match(loss, /error.*\b3 lines were lost: ENOSPC: no space left on device/);
      assert.ok([loss.includes('ERR_LOG_FILE'), four.includes('four'), five.includes('five')].every(Boolean));
    });

    it(`as ${format} can’t be made to have a line of its own by a URI, a message or standard error`, () => {
      const log = open(format);
      for (const octets of treacherous) {
        const text = `/${octets}${forged}${octets}`;
        log.info({ uri: text, stderr: text, list: [text], object: { [text]: text } }, `refused: ${text}`);
      }
      assertLines(treacherous.length);
    });

    it(`as ${format} can’t be forged with any text at all`, () => {
      const log = open(format);
      const text = fc.string({
        unit: fc.oneof(fc.constantFrom(...treacherous, '"', '\\', ' ', '='), fc.string({ unit: 'binary' })),
      });
      let count = 0;
      fc.assert(
        fc.property(text, text, (message, field) => {
          log.info({ field }, message);
          count += 1;
          const line = assertLines(count).at(-1) ?? '';
          if (format === 'text') return;
          const read = JSON.parse(line) as Record<string, unknown>;
          assert.deepEqual([read['msg'], read['field']], [message, field]);
        }),
      );
    });
  }

  it('as text shows a quote in a field as part of the field, and no other field in it', () => {
    open('text').info({ uri: '/" status=200 x="', next: 1 }, 'm');
    assert.match(written(), / m uri="\/\\" status\\u003d200 x\\u003d\\"" next=1\n$/);
  });

  it('as text has a value in quotes unless it is one plain word', () => {
    open('text').info(
      { plain: 'a/b.c:d@e%f+g,h-i', field: '/id=x', quote: 'a"', space: 'a b', none: '' },
      'm',
    );
    const values = String.raw` plain=a/b.c:d@e%f+g,h-i field="/id=x" quote="a\"" space="a b" none=""`;
    assert.ok(written().endsWith(`${values}\n`), written());
  });

  it('as text shows what is like a field in a message as part of the message', () => {
    const log = open('text');
    log.info({ id: 'real' }, 'refused: /x id=fake status=200 "a b\\');
    log.info({ id: 'real' }, 'kind = "x": why');
    log.info({ id: 'real', uri: '/x?id=fake', list: ['id=fake', ' id=fake'] }, 'id=fake');
    const [first = '', quotes = '', second = ''] = assertLines(3);
    assert.ok(first.endsWith(String.raw` refused: /x id\u003dfake status\u003d200 \"a b\\ id=real`), first);
    assert.ok(quotes.endsWith(' kind = "x": why id=real'), quotes);
    const shown = String.raw` id\u003dfake id=real uri="/x?id=fake" list=["id\u003dfake"," id\u003dfake"]`;
    assert.ok(second.endsWith(shown), second);
  });

  it('as text has its own fields and no other, whatever the texts, for who cuts at spaces or minds quotes', () => {
    const log = open('text');
    const pieces = [' id=fake', '"', "'", '\\', ' ', '=', '\t\u00a0status=', 'x.y-z=', '\n', ...treacherous];
    const text = fc.string({ unit: fc.oneof(fc.constantFrom(...pieces), fc.string({ unit: 'binary' })) });
    const fields = ['id', 'uri', 'list', 'status'];
    let count = 0;
    fc.assert(
      fc.property(text, text, (message, value) => {
        log.info({ id: 'real', uri: value, list: [value], status: 404 }, message);
        const line = assertLines(++count).at(-1) ?? '';
        const atSpaces = [...line.matchAll(/(?:^|\s)([\w.-]+)=/g)].map(([, name]) => name);
        assert.deepEqual(atSpaces, fields, line);
        const words = line.match(/(?:\\.|"(?:\\.|[^"\\])*"|[^\s"\\])+/g) ?? [];
        const mindingQuotes = words.flatMap((word) => /^([\w.-]+)=/.exec(word)?.[1] ?? []);
        assert.deepEqual(mindingQuotes, fields, line);
        const uri = words.find((word) => word.startsWith('uri='))?.slice('uri='.length) ?? '';
        assert.equal(uri.startsWith('"') ? JSON.parse(uri) : uri, value, line);
      }),
    );
  });

  it('as text shows treacherous characters by their numbers', () => {
    open('text').info({ uri: 'a\u2028b' }, 'c\nd\x1be\u{e0001}');
    assert.match(written(), / c\\u000ad\\u001be\\udb40\\udc01 uri="a\\u2028b"\n$/);
  });
});
