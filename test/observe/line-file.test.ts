import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { appendFile, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { beforeEach, describe, it } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { LineFile } from '../../src/observe/line-file.js';
import { temporaryDirectory } from '../helpers/temporary.js';

let directory: string;
let path: string;

beforeEach(async () => {
  directory = `${await temporaryDirectory()}/logs`;
  await mkdir(directory);
  path = `${directory}/log`;
});

const text = (name = path): string => readFileSync(name, 'utf8');
const descriptors = (): number => readdirSync('/proc/self/fd').length;

describe('A file of lines', () => {
  it('goes on in a new file when it is reopened, and keeps no descriptor of the old one', async () => {
    const lines = new LineFile('--log-file', path);
    const before = descriptors();
    lines.write('one');
    await rename(path, `${path}.1`);
    lines.write('two');
    lines.reopen();
    lines.write('three');
    assert.deepEqual([text(`${path}.1`), text()], ['one\ntwo\n', 'three\n']);
    assert.equal(descriptors(), before);
  });

  it('that can’t be reopened goes on where it was, and can be reopened later', async () => {
    const lines = new LineFile('--access-log', path);
    const before = descriptors();
    await rename(directory, `${directory}.1`);
    assert.throws(
      () => {
        lines.reopen();
      },
      { code: 'ERR_LOG_FILE', message: /^--access-log \/.*\/log can't be opened: ENOENT/ },
    );
    lines.write('still here');
    await mkdir(directory);
    lines.reopen();
    lines.write('here again');
    assert.deepEqual([text(`${directory}.1/log`), text()], ['still here\n', 'here again\n']);
    assert.equal(descriptors(), before);
  });

  it('does not join a line that was cut off with the next one', async () => {
    // A file may be this long here, so that a line is written in part.
    const script = `
      import { LineFile } from ${JSON.stringify(new URL('../../src/observe/line-file.js', import.meta.url).href)};
      import { truncateSync } from 'node:fs';
      process.on('SIGXFSZ', () => undefined);
      const lines = new LineFile('--log-file', ${JSON.stringify(path)});
      lines.write('x'.repeat(2000));
      lines.write('lost');
      truncateSync(${JSON.stringify(path)}, 3);
      lines.write('whole');
      lines.write('and the next');
      lines.write('x'.repeat(2000));
      lines.moveTo(${JSON.stringify(`${path}.new`)});
      lines.write('begins here');
    `;
    const shell = 'ulimit -f 1; exec "$0" --input-type=module -e "$1"';
    execFileSync('/bin/sh', ['-c', shell, process.execPath, script]);
    assert.ok(text().startsWith('xxx\nwhole\nand the next\nxxx'));
    assert.equal(text(`${path}.new`), 'begins here\n');
    await rm(path);
  });

  it('goes on in a line of its own where the file ends within one, at the start and when it is reopened', async () => {
    await writeFile(path, 'cut o');
    const lines = new LineFile('--log-file', path);
    lines.write('whole');
    await appendFile(path, 'and cu');
    lines.reopen();
    lines.write('next');
    lines.reopen();
    lines.write('last');
    assert.equal(text(), 'cut o\nwhole\nand cu\nnext\nlast\n');
  });

  it('that nothing can be written to takes no memory for what is lost', () => {
    const lines = new LineFile('--log-file', '/dev/full');
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const usedBytes = (): number => {
      collect();
      return process.memoryUsage().arrayBuffers + process.memoryUsage().heapUsed;
    };
    const before = usedBytes();
    for (let count = 0; count < 100; count++) lines.write(`${String(count)}${'x'.repeat(1_000_000)}`);
    const kept = usedBytes() - before;
    assert.ok(kept < 10_000_000, `${String(kept)} octets more`);
  });
});
