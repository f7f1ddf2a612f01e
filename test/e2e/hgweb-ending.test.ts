/** How a process of scripts/hgweb.cgi ends that no fork server has made: soon, but nothing of an extension's is lost. */

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';

import { findMercurial } from '../../src/sites/hg/installation.js';
import { succeed } from '../helpers/command.js';
import { hgwebScript } from '../helpers/hgweb.js';
import { makeRepository } from '../helpers/mercurial.js';
import { temporaryDirectory } from '../helpers/temporary.js';

/** Python statements of an extension, in which `put(text)` writes to a file at once. */
const extensions: Readonly<Record<string, string>> = {
  'a function to be called at the end': `import atexit; atexit.register(put, 'done')`,
  'a file that was not closed': `left = open(path, 'w'); left.write('done')`,
  'a thread that has not ended': `import threading, time
def work():
    time.sleep(0.1)
    put('done')
threading.Thread(target=work).start()`,
  'a generator that has not ended': `import os
def generate(write=os.write, file=os.open(path, os.O_WRONLY)):
    try:
        yield
    finally:
        write(file, b'done')
left = generate()
next(left)`,
};

describe('A process of hgweb', () => {
  let directory: string;
  before(async () => {
    directory = await temporaryDirectory();
    await makeRepository(join(directory, 'r'), { file: 'text' });
  });

  /** Its page, and what an extension has written. */
  async function page(statements: string): Promise<{ readonly page: string; readonly written: string }> {
    const [extension, config, written] = ['extension.py', 'hgweb.config', 'written'].map((name) =>
      join(directory, name),
    ) as [string, string, string];
    const put = `path = ${JSON.stringify(written)}\ndef put(text):\n    with open(path, 'w') as file:\n        file.write(text)\n`;
    await writeFile(extension, put + statements);
    await writeFile(config, `[extensions]\nending = ${extension}\n`);
    await writeFile(written, '');
    const { python, modules } = await findMercurial('hg');
    const env = {
      PATH: '/usr/bin:/bin',
      REQUEST_METHOD: 'GET',
      SERVER_NAME: 'localhost',
      SERVER_PORT: '80',
      SERVER_PROTOCOL: 'HTTP/1.1',
      SCRIPT_NAME: '/r',
      PATH_INFO: '/log',
      QUERY_STRING: 'style=raw',
      FCGI2CGI_HG_MODULES: modules,
      FCGI2CGI_HGWEB_CONFIG: config,
    };
    const args = [hgwebScript, 'repository', join(directory, 'r'), 'r', 'r'];
    const said = await succeed(python, args, { cwd: directory, env });
    return { page: said, written: await readFile(written, 'utf8') };
  }

  for (const [what, statements] of Object.entries(extensions)) {
    it(`sees to ${what}`, async () => {
      const { page: usual } = await page('');
      assert.match(usual, /^Status: 200 /);
      assert.deepEqual(await page(statements), { page: usual, written: 'done' });
    });
  }
});
