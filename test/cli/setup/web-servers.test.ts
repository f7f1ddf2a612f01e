import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

import { serviceFiles } from '../../../src/cli/setup/service.js';
import {
  indexSocketOf,
  openbsdHttpd,
  socketOf,
  type WebServer,
  webServers,
  type WebSite,
} from '../../../src/cli/setup/web-servers.js';
import { runToEnd } from '../../helpers/command.js';
import { lacking, pathOf } from '../../helpers/release.js';
import { runHere } from '../../helpers/run-here.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

const directory = await temporaryDirectory();
const passwordFile = join(directory, 'passwords');
await writeFile(passwordFile, 'ann:$2y$05$abcdefghijklmnopqrstuv\n');

const plain: WebSite = {
  kind: 'hg',
  host: 'code.example.net',
  port: 8080,
  markers: '/var/www/code',
  passwordFile: undefined,
  isPrivate: false,
  owner: { uid: 0, gid: 0 },
};

/** All text that a web server is told of a site. */
function textFor(server: WebServer, site: Partial<WebSite>): string {
  const files = server.files({ ...plain, ...site });
  return files.map((each) => ('text' in each ? each.text : '')).join('');
}

describe('What setup prints for OpenBSD’s httpd', () => {
  for (const kind of ['hg', 'git'] as const) {
    it(`is a server of the ${kind} site, whose paths begin at its chroot`, () => {
      const site = { ...plain, kind, passwordFile: '/var/www/own.htpasswd' };
      const text = openbsdHttpd(site).replaceAll(/^\s*#.*\n/gm, '');
      assert.match(text, /^server "code\.example\.net" \{\n\tlisten on \* port 8080\n/m);
      assert.match(text, /fastcgi socket "\/run\/fcgi2cgi\/code\.example\.net\.sock"/);
      assert.doesNotMatch(text, /authenticate|example\.org/);
      assert.match(
        openbsdHttpd({ ...site, isPrivate: true }),
        /^\tauthenticate "code\.example\.net" with "\/own\.htpasswd"$/m,
      );
    });
  }
});

describe('What setup is told', () => {
  it('is refused where a configuration would take it for more than a name', async () => {
    for (const [option, value] of [
      ['host', 'a.example;'],
      ['repos', '/srv/a"\n'],
      ['markers', '/var/www/$a'],
      ['password-file', '/etc/a;b'],
      ['host', 'a..example'],
      ['host', 'a-.example'],
    ] as const) {
      const host = option === 'host' ? [] : ['--host', 'a.example'];
      const { status, stderr } = await runHere([
        ...['setup', 'hg', '--dry-run', ...host],
        ...[`--${option}`, value],
      ]);
      assert.equal(status, 2, stderr);
      assert.match(stderr, new RegExp(`--${option} [^]*: expected (lower-case|a path of) letters`));
    }
  });
});

describe('What setup writes for systemd', () => {
  it('lets the daemon give its sockets to the web server, and looks through the file at a reload', () => {
    const [file] = serviceFiles('systemd', 'hg', 'www-data');
    const text = file !== undefined && 'text' in file ? file.text : '';
    assert.match(text, /^User=hg\nSupplementaryGroups=www-data$/m);
    // Where the Debian package has the unit, this is only a part of it.
    if (text.includes('Exec')) assert.match(text, /^ExecReload=\S+ serve .* --check\nExecStart=\S+ serve /m);
  });
});

describe('What setup writes for Caddy', () => {
  it('has passwords’ hashes in it, which nobody but root and the web server reads', () => {
    const owner = { uid: 7, gid: 8 };
    const [file] = webServers.caddy.files({ ...plain, passwordFile, owner });
    assert.ok(file?.kind === 'file' && file.text.includes('$2y$05$'));
    assert.deepEqual([file.mode, file.owner], [0o640, { uid: 0, gid: 8 }]);
  });
});

describe('What setup names after a host', () => {
  const hosts = ['hg-x.test', 'hg.x.test', 'hg--x.test', '192.168.1.10', 'hg-x.test-index'];
  const texts = hosts.map((host) => textFor(webServers.nginx, { host, passwordFile }));

  it('is a variable of nginx’s that no other site has, and that no pattern’s group is', () => {
    const names = texts.flatMap((text) => [...new Set(text.match(/\$\w+_(?:realm|(?<!remote_)user)\b/g))]);
    assert.equal(new Set(names).size, 2 * hosts.length, names.join());
    for (const name of names) assert.match(name, /^\$[a-z]/);
  });

  it('is a socket that no other site has', () => {
    const sockets = hosts.flatMap((host) => [socketOf(host), indexSocketOf(host)]);
    assert.equal(new Set(sockets).size, sockets.length);
  });
});

describe('A path that has the example’s own name in it', () => {
  it('is the same in what setup tells a web server', async () => {
    const own = join(directory, 'etc/nginx/hg.htpasswd/hg.example.org');
    await mkdir(dirname(own), { recursive: true });
    await writeFile(own, await readFile(passwordFile));
    const site = { passwordFile: own, markers: '/srv/var/www/hg.example.org/run/fcgi2cgi/hg.sock' };
    for (const server of ['nginx', 'apache', 'lighttpd'] as const)
      assert.ok(textFor(webServers[server], site).includes(own), server);
    assert.ok(textFor(webServers.lighttpd, site).includes(`"${site.markers}"`));
  });
});

const password = /auth_basic_user_file|htpasswd\.userfile|AuthUserFile|basicauth/;

describe('What setup tells a web server', () => {
  for (const [name, server] of Object.entries(webServers)) {
    for (const kind of ['hg', 'git'] as const) {
      it(`has ${name} listen at the ${kind} site’s port`, () => {
        const listens = /^\s*(?:Listen 8080$|listen 8080;|\$SERVER\["socket"\] == ":8080" |http:.*:8080 \{)/m;
        assert.match(textFor(server, { kind }), listens);
        assert.doesNotMatch(textFor(server, { kind, port: 80 }), /8080|^Listen|SERVER\["socket"\]/m);
      });

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

/** How each program checks a configuration, and what its file has around that of a site. */
const checks: Record<keyof typeof webServers, { main: string; command: (main: string) => string[] }> = {
  nginx: {
    main: 'pid DIR/pid; error_log DIR/log; events {} http { include DIR/*.conf; access_log off; }',
    command: (main) => ['nginx', '-t', '-c', main],
  },
  lighttpd: {
    main: `server.document-root = "/"
server.port = 8080
server.modules = ()
# Debian 13 has this one.
server.http-parseopts = ( "header-strict" => "enable", "url-invalid-utf8-reject" => "enable" )
server.max-request-field-size = 8192
include "DIR/*.conf"
`,
    command: (main) => ['lighttpd', '-tt', '-f', main],
  },
  apache: {
    main: `ServerRoot DIR\nErrorLog DIR/log\nListen 8081\n${[
      'mpm_event',
      'authz_core',
      'authz_user',
      'authn_core',
      'authn_file',
      'auth_basic',
      'proxy',
      'proxy_fcgi',
    ]
      .map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so\n`)
      .join('')}Include DIR/*.conf\n`,
    command: (main) => ['apache2', '-t', '-f', main],
  },
  caddy: {
    main: 'import DIR/*.conf\n',
    command: (main) => ['caddy', 'validate', '--adapter', 'caddyfile', '--config', main],
  },
};

describe('The files of the package for lighttpd', () => {
  for (const git of ['lighttpd-git', 'lighttpd-git-markers']) {
    it(`are taken together, whatever lighttpd.conf has set: hg and ${git}`, async () => {
      const place = await temporaryDirectory();
      for (const name of ['lighttpd-hg', git]) {
        const file = fileURLToPath(new URL(`../../../../scripts/webservers/${name}.conf`, import.meta.url));
        await writeFile(join(place, `${name}.conf`), await readFile(file));
      }
      const { main, command } = checks.lighttpd;
      const file = join(place, 'main');
      await writeFile(file, main.replaceAll('DIR', place));
      const [program = '', ...args] = command(file);
      const { status, stderr } = await runToEnd(pathOf(program) ?? program, args);
      assert.equal(status, 0, stderr);
    });
  }
});

describe('What setup writes for a web server', () => {
  for (const [name, server] of Object.entries(webServers)) {
    const { main, command } = checks[name as keyof typeof webServers];
    const [program = '', ...args] = command('MAIN');
    it(
      `is a configuration that ${name} takes, for sites of all kinds at once`,
      { skip: lacking(program) },
      async () => {
        const place = await temporaryDirectory();
        const sites = (['hg', 'git'] as const).flatMap((kind) => [
          { kind },
          { kind, passwordFile },
          { kind, passwordFile, isPrivate: true },
        ]);
        const written = new Map<string, string>();
        for (const [index, site] of sites.entries()) {
          const host = `code${String(index)}.example.net`;
          for (const each of server.files({ ...plain, host, markers: '/var/www', ...site })) {
            if (each.kind === 'file') written.set(basename(each.path), each.text);
          }
        }
        for (const [file, text] of written)
          await writeFile(
            join(place, `${file}.conf`),
            text.replaceAll('include fastcgi_params', 'include /etc/nginx/fastcgi_params'),
          );
        await writeFile(join(place, 'main'), main.replaceAll('DIR', place));
        const { status, stdout, stderr } = await runToEnd(
          pathOf(program) ?? program,
          args.map((each) => (each === 'MAIN' ? join(place, 'main') : each)),
          { env: { ...process.env, HOME: place } },
        );
        assert.equal(status, 0, stdout + stderr);
      },
    );
  }
});
