import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { type WebServer, webServers, type WebSite } from '../../../src/cli/setup/web-servers.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

const directory = await temporaryDirectory();
const passwordFile = join(directory, 'passwords');
await writeFile(passwordFile, 'ann:$2y$05$abcdefghijklmnopqrstuv\n');

/** All text that a web server is told of a site. */
function textFor(server: WebServer, site: Partial<WebSite>): string {
  const files = server.files({
    kind: 'hg',
    host: 'code.example.net',
    port: 8080,
    markers: '/var/www/code',
    passwordFile: undefined,
    isPrivate: false,
    owner: { uid: 0, gid: 0 },
    ...site,
  });
  return files.map((each) => ('text' in each ? each.text : '')).join('');
}

const password = /auth_basic_user_file|htpasswd\.userfile|AuthUserFile|basicauth/;

describe('What setup tells a web server', () => {
  for (const [name, server] of Object.entries(webServers)) {
    for (const kind of ['hg', 'git'] as const) {
      it(`names the ${kind} site’s own host and socket, and no password, in ${name}`, () => {
        const text = textFor(server, { kind });
        assert.match(text, /\/run\/fcgi2cgi\/code\.example\.net\.sock/);
        assert.doesNotMatch(text, /(?:hg|git)\.example\.org|REMOTE_USER \$/);
        assert.doesNotMatch(text, password);
      });

      it(`asks for a password who pushes to the ${kind} site, in ${name}`, () => {
        const text = textFor(server, { kind, passwordFile });
        assert.match(text, password);
        assert.match(text, kind === 'hg' ? /unbundle/ : /git-receive-pack/);
      });

      it(`asks for a password who reads the ${kind} site, in ${name}`, () => {
        const text = textFor(server, { kind, passwordFile, isPrivate: true });
        assert.match(text, password);
        assert.doesNotMatch(text.replaceAll(/^\s*#.*$/gm, ''), /unbundle|git-receive-pack/);
      });
    }
  }
});
