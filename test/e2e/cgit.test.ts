/** Debian's cgit behind nginx, as the README has it. */

import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { makeBareRepository } from '../helpers/git.js';
import { fetchRaw } from '../helpers/http.js';
import { lacking } from '../helpers/release.js';
import { serve } from '../helpers/served.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { startWebServer, type WebServer } from '../helpers/webserver.js';

/** Where the shipped file says what cgit's own settings are. */
const shipped = new URL('../../../scripts/webservers/nginx-cgit.conf', import.meta.url);

const skip = lacking('/usr/lib/cgit/cgit.cgi', 'cgit');

describe('cgit by fcgi2cgi script', { skip, timeout: 300_000 }, () => {
  let web: WebServer;
  let directory: string;
  before(async () => {
    directory = await temporaryDirectory();
    await makeBareRepository(join(directory, 'repos/group/one.git'), { 'read me.txt': 'hello\n' });
    const hidden = { secret: 'the secret\n' };
    await makeBareRepository(join(directory, 'repos/hidden.git'), hidden, { exported: false });
    const config = join(directory, 'cgitrc');
    // It shows whom a filter or hook of cgit's would believe in.
    const filter = join(directory, 'filter');
    await writeFile(filter, '#!/bin/sh\nprintf "by <%s>: " "${REMOTE_USER-}"\ncat\n', { mode: 0o755 });
    const said = [...(await readFile(shipped, 'utf8')).matchAll(/^# {3}(\S+=\S+)$/gm)].map(
      ([, line]) => line,
    );
    const own = [`source-filter=${filter}`, 'css=/cgit-css/cgit.css', 'logo=/cgit-css/cgit.png', ...said];
    await writeFile(config, own.join('\n').replace('/srv/git', `${directory}/repos`));
    const { socket } = await serve(['script', '/usr/lib/cgit/cgit.cgi', '--env', `CGIT_CONFIG=${config}`]);
    await mkdir(join(directory, 'web'));
    const place = { directory: join(directory, 'web'), documentRoot: directory, sockets: dirname(socket) };
    web = await startWebServer('nginx', { ...place, site: 'cgit' });
  });
  after(() => web.stop());

  it('shows its list, its pages and their style, and every link on them leads somewhere', async () => {
    const seen = new Set(['/']);
    for (const path of seen) {
      const { status, headers, body } = await fetchRaw(web.url, path);
      assert.equal(status, 200, path);
      if (!String(headers['content-type']).startsWith('text/html')) continue;
      for (const [, link = ''] of body.toString().matchAll(/(?:href|src)='(\/[^'#]*)/g)) {
        if (seen.size < 60) seen.add(link.replaceAll('&amp;', '&'));
      }
    }
    for (const path of [
      '/cgit-css/cgit.css',
      '/group/one.git/',
      '/group/one.git/log/',
      '/group/one.git/tree/',
    ]) {
      assert.ok(seen.has(path), `${path} was not linked: ${[...seen].join(' ')}`);
    }
    const { body } = await fetchRaw(web.url, '/group/one.git/plain/read%20me.txt');
    assert.equal(body.toString(), 'hello\n');
  });

  it('shows nothing of what the site git would not show', async () => {
    assert.doesNotMatch((await fetchRaw(web.url, '/')).body.toString(), /hidden/);
    assert.doesNotMatch((await fetchRaw(web.url, '/hidden.git/plain/secret')).body.toString(), /the secret/);
  });

  it('takes nobody for the user of a header, since nginx asks for no password', async () => {
    const headers = { Authorization: `Basic ${Buffer.from('ann:whatever').toString('base64')}` };
    const { status, body } = await fetchRaw(web.url, '/group/one.git/tree/read%20me.txt', { headers });
    assert.equal(status, 200);
    assert.match(body.toString(), /by <>: hello/);
  });
});
