/** How a process of scripts/hgweb.cgi ends that no fork server has made: soon, but nothing that others left is lost. */

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';

import { findMercurial } from '../../src/sites/hg/installation.js';
import { type Ended, runToEnd } from '../helpers/command.js';
import { hgwebScript } from '../helpers/hgweb.js';
import { makeRepository } from '../helpers/mercurial.js';
import { temporaryDirectory } from '../helpers/temporary.js';

/** Python statements; `put(text)` writes to the file at `path` at once. */
interface Statements {
  readonly ofExtension?: string;
  /** Of Python's own start. */
  readonly ofSite?: string;
}

const statements: Readonly<Record<string, Statements>> = {
  'a function to be called at the end': { ofExtension: `import atexit; atexit.register(put, 'done')` },
  'a file that was not closed': { ofExtension: `left = open(path, 'w'); left.write('done')` },
  'a file that was not closed before it began': { ofSite: `left = open(path, 'w'); left.write('done')` },
  'a file that was not closed, and is frozen': {
    ofExtension: `import gc; left = open(path, 'w'); left.write('done'); gc.freeze()`,
  },
  'a thread that has not ended': {
    ofExtension: `import threading, time
def work():
    time.sleep(0.1)
    put('done')
threading.Thread(target=work).start()`,
  },
  'a generator that has not ended': {
    ofExtension: `import os
def generate(write=os.write, file=os.open(path, os.O_WRONLY)):
    try:
        yield
    finally:
        write(file, b'done')
left = generate()
next(left)`,
  },
};

describe('A process of hgweb', () => {
  let directory: string;
  before(async () => {
    directory = await temporaryDirectory();
    await makeRepository(join(directory, 'r'), { file: 'text' });
  });

  async function run({ ofExtension = '', ofSite = '' }: Statements): Promise<Ended> {
    const at = (name: string): string => join(directory, name);
    const put = `path = ${JSON.stringify(at('written'))}
def put(text):
    with open(path, 'w') as file:
        file.write(text)
`;
    await writeFile(at('extension.py'), put + ofExtension);
    await writeFile(at('sitecustomize.py'), put + ofSite);
    await writeFile(at('hgweb.config'), `[extensions]\nending = ${at('extension.py')}\n`);
    await writeFile(at('written'), '');
    const { python, modules } = await findMercurial('hg');
    const env = {
      PATH: '/usr/bin:/bin',
      PYTHONPATH: directory,
      REQUEST_METHOD: 'GET',
      SERVER_NAME: 'localhost',
      SERVER_PORT: '80',
      SERVER_PROTOCOL: 'HTTP/1.1',
      SCRIPT_NAME: '/r',
      PATH_INFO: '/log',
      QUERY_STRING: 'style=raw',
      FCGI2CGI_HG_MODULES: modules,
      FCGI2CGI_HGWEB_CONFIG: at('hgweb.config'),
    };
    return runToEnd(python, ['-B', hgwebScript, 'repository', at('r'), 'r', 'r'], { cwd: directory, env });
  }

  for (const [what, each] of Object.entries(statements)) {
    it(`sees to ${what}`, async () => {
      const usual = await run({});
      assert.match(usual.stdout, /^Status: 200 /);
      assert.deepEqual(await run(each), usual);
      assert.equal(await readFile(join(directory, 'written'), 'utf8'), 'done');
    });
  }

  it('says what is left for standard error, and leaves to Python what can’t be written', async () => {
    const said = await run({ ofExtension: `import atexit, sys; atexit.register(sys.stderr.write, 'bye')` });
    assert.deepEqual([said.status, said.stderr], [0, 'bye']);
    const closed = await run({ ofExtension: 'import atexit, sys; atexit.register(sys.stdout.close)' });
    assert.deepEqual([closed.status, closed.stderr], [0, '']);
  });
});
