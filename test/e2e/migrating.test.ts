/** fcgi2cgi-migrating(7): repositories of `hg serve` and of hgweb.wsgi have the same addresses behind the daemon. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { before, describe, it } from 'node:test';

import { ask } from '../helpers/ask.js';
import { runToEnd } from '../helpers/command.js';
import { examplesIn } from '../helpers/examples.js';
import { makeRepository } from '../helpers/mercurial.js';
import { serveHere } from '../helpers/served.js';
import { temporaryDirectory } from '../helpers/temporary.js';

/** The list of repositories as programs read it; before it, hgweb names itself. */
const RAW = '?style=raw';
const named = (list: string): string[] => (list.match(/^\/.*\/$/gm) ?? []).sort();

describe('What hg serve and hgweb.wsgi have served', { timeout: 120_000 }, () => {
  let directory: string;
  let repos: string;
  let settings: string;

  before(async () => {
    directory = await temporaryDirectory();
    repos = join(directory, 'hg');
    for (const name of ['project', 'group/tool']) await makeRepository(join(repos, name), { f: 'f\n' });
    const shown = examplesIn('src/man/fcgi2cgi-migrating.7').find((each) => each.text.includes('[paths]'));
    settings = (shown?.text ?? '').replaceAll('/srv/hg', repos);
    const collected = settings.replace(/\n\[paths\]\n.*\n$/, `\n[collections]\n${repos} = ${repos}\n`);
    assert.notEqual(collected, settings);
    await writeFile(join(directory, 'hgweb.config'), settings);
    await writeFile(join(directory, 'collected.config'), collected);
  });

  /** What `fcgi2cgi hg` lists, and the status of each page there. */
  async function listed(...options: readonly string[]): Promise<{ names: string[]; statuses: string[] }> {
    const { socket } = await serveHere(['hg', '--repos', repos, ...options]);
    const get = async (path: string, query = ''): Promise<string> =>
      (await ask(socket, { SCRIPT_NAME: path, QUERY_STRING: query, SERVER_NAME: 'hg', SERVER_PORT: '80' }))
        .stdout;
    const at = options.indexOf('--url-prefix');
    const below = at === -1 ? '' : (options[at + 1] ?? '');
    const names = named(await get(`${below}/`, RAW.slice(1)));
    const pages = await Promise.all(names.map((name) => get(name)));
    return { names, statuses: pages.map((page) => /^Status: (\d+)/.exec(page)?.[1] ?? '') };
  }

  async function ofHgServe(...options: readonly string[]): Promise<string[]> {
    const prefix = options[1] ?? '';
    const args = [
      'serve',
      '--webdir-conf',
      join(directory, 'hgweb.config'),
      '--address',
      '127.0.0.1',
      '--port',
      '0',
    ];
    const hg = spawn('hg', [...args, ...options], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, HGPLAIN: '1' },
    });
    try {
      let said = '';
      hg.stdout.setEncoding('utf8');
      while (!/:\d+\//.test(said)) said += String((await once(hg.stdout, 'data'))[0]);
      const port = /:(\d+)\//.exec(said)?.[1] ?? '';
      const response = await fetch(`http://127.0.0.1:${port}${prefix}/${RAW}`);
      return named(await response.text());
    } finally {
      hg.kill();
      await once(hg, 'exit');
    }
  }

  it('is there without --markers, at the addresses that hg serve gave it', async () => {
    const theirs = await ofHgServe();
    assert.deepEqual(theirs, ['/group/tool/', '/project/']);
    assert.deepEqual(await listed(), { names: theirs, statuses: ['200', '200'] });
  });

  it('is there with --url-prefix, at the addresses that hg serve --prefix gave it', async () => {
    const theirs = await ofHgServe('--prefix', '/hg');
    assert.deepEqual(theirs, ['/hg/group/tool/', '/hg/project/']);
    assert.deepEqual(await listed('--url-prefix', '/hg'), { names: theirs, statuses: ['200', '200'] });
  });

  it('is there at the addresses that hgweb.wsgi gave it', async () => {
    const { stdout } = await runToEnd('hg', ['debuginstall', '-T', '{pythonexe}']);
    const program = `import sys
from mercurial import demandimport; demandimport.enable()
from mercurial.hgweb import hgweb
application = hgweb(sys.argv[1].encode())
environ = dict(REQUEST_METHOD='GET', SCRIPT_NAME='', PATH_INFO='/', QUERY_STRING='style=raw', SERVER_NAME='hg', SERVER_PORT='80')
environ.update({'wsgi.url_scheme': 'http', 'wsgi.input': sys.stdin.buffer, 'wsgi.errors': sys.stderr, 'wsgi.version': (1, 0),
  'wsgi.multithread': False, 'wsgi.multiprocess': False, 'wsgi.run_once': True})
for part in application(environ, lambda status, fields, exc=None: None): sys.stdout.buffer.write(part)
`;
    const wsgi = spawn(stdout.trim(), ['-c', program, join(directory, 'collected.config')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    assert.deepEqual(named(await text(wsgi.stdout)), (await listed()).names);
  });

  it('is there by a marker where [paths] named it, at the path that the page says', async () => {
    const markers = join(directory, 'markers');
    await mkdir(join(markers, 'group'), { recursive: true });
    await writeFile(join(markers, 'group/tool.hg'), '');
    await writeFile(join(markers, 'index.fcgi'), '');
    const { names, statuses } = await listed('--markers', markers);
    assert.deepEqual([names, statuses], [['/group/tool.hg/'], ['200']]);
  });

  it('is refused as a file of settings, with what to do, as long as it has these sections', async () => {
    await assert.rejects(
      serveHere(['hg', '--repos', repos, '--hgweb-config', join(directory, 'hgweb.config')]),
      /section \[paths\], which counts for hgwebdir only/,
    );
    const rest = join(directory, 'rest.config');
    await writeFile(rest, settings.replace(/^\[paths\][^]*/m, ''));
    assert.deepEqual((await listed('--hgweb-config', rest)).statuses, ['200', '200']);
  });
});
