/**
 * What the configurations of scripts/webservers say beside what test/e2e/web-servers.test.ts sees by trying them: that one
 * asks for each kind of case with one of a web server's two files only, and waits for no time limit.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

/** The lines of a file that say something, with one space for all that is between two words. */
function linesOf(name: string): string[] {
  const file = fileURLToPath(new URL(`../../../../scripts/webservers/${name}`, import.meta.url));
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.map((line) => line.trim().replaceAll(/\s+/g, ' ')).filter((line) => /^[^#]/.test(line));
}

/** What `lines` has more often than `others`. */
function without(lines: readonly string[], others: readonly string[]): string[] {
  const rest = [...others];
  return lines.filter((line) => {
    const index = rest.indexOf(line);
    if (index >= 0) rest.splice(index, 1);
    return index < 0;
  });
}

const neutral = (line: string): string =>
  line.replaceAll(/\b(?:hg|git)(?=\b|_)/g, 'SITE').replaceAll(/(?:Mercurial|Git) push/g, 'SITE push');

/** How a push is told from a request that reads: every web server is tried with that, but for one with `--markers`. */
const tellsPushes =
  /unbundle|SITE-receive-pack|\(?GET\b.*HEAD\b.*POST|SITE push|is_push|_realm|^default off;$/;

interface Pair {
  readonly hg: string;
  readonly git: string;
  /** What only one of them has. */
  readonly own: { readonly hg: readonly string[]; readonly git: readonly string[] };
}

const pairs: readonly Pair[] = [
  {
    ...{ hg: 'apache-hg.conf', git: 'apache-git.conf' },
    own: { hg: ['LimitRequestFields 1000'], git: [] },
  },
  { ...{ hg: 'caddy-hg.conf', git: 'caddy-git.conf' }, own: { hg: [], git: [] } },
  {
    ...{ hg: 'h2o-hg.conf', git: 'h2o-git.conf' },
    own: {
      hg: ['reads ? [399, {}, []] : users.call(env)'],
      git: ['pushes ? users.call(env) : [399, {}, []]'],
    },
  },
  {
    ...{ hg: 'haproxy-hg.conf', git: 'haproxy-git.conf' },
    own: { hg: ['global', 'tune.bufsize 65536', 'tune.http.maxhdr 1000'], git: [] },
  },
  {
    ...{ hg: 'nginx-hg.conf', git: 'nginx-git.conf' },
    own: {
      hg: ['large_client_header_buffers 8 8k;', 'fastcgi_param HTTP_HOST $http_host;'],
      git: ['fastcgi_param HTTP_HOST $host:$server_port;'],
    },
  },
  { ...{ hg: 'openbsd-httpd-hg.conf', git: 'openbsd-httpd-git.conf' }, own: { hg: [], git: [] } },
  {
    ...{ hg: 'lighttpd-hg.conf', git: 'lighttpd-git-markers.conf' },
    own: {
      hg: [
        'server.max-request-field-size := 65535',
        ...['$HTTP["url"] =~ "/$" {', 'fastcgi.server = ( "/" => ( "localhost" => ('],
        ...['"socket" => "/run/fcgi2cgi/SITE-index.sock",', '"check-local" => "disable",'],
        ...['"fix-root-scriptname" => "enable",', ')))', '}'],
      ],
      git: [],
    },
  },
  {
    ...{ hg: 'lighttpd-git-markers.conf', git: 'lighttpd-git.conf' },
    own: {
      hg: [
        ...['server.document-root = "/var/www/SITE.example.org"', 'index-file.names = ( "index.fcgi" )'],
        '".fcgi" => ( "localhost" => ( "socket" => "/run/fcgi2cgi/SITE-index.sock" )),',
        '".SITE" => ( "localhost" => ( "socket" => "/run/fcgi2cgi/SITE.sock" )),',
        'static-file.exclude-extensions = ( "" )',
      ],
      git: [
        ...['"/" => ( "localhost" => (', '"socket" => "/run/fcgi2cgi/SITE.sock",'],
        ...['"check-local" => "disable",', '"fix-root-scriptname" => "enable",', ')),'],
      ],
    },
  },
];

describe('Two configurations of one web server', () => {
  for (const { hg, git, own } of pairs) {
    it(`say the same, but for what only one site needs: ${hg} and ${git}`, () => {
      const [one, other] = [linesOf(hg).map(neutral), linesOf(git).map(neutral)];
      const tried = hg.includes('-hg') ? tellsPushes : /^$/;
      const differing = (lines: readonly string[], others: readonly string[]): string[] =>
        without(lines, others).filter((line) => !tried.test(line));
      assert.deepEqual({ hg: differing(one, other), git: differing(other, one) }, own);
    });
  }
});

describe('nginx before several machines', () => {
  it('has all that nginx before one has, but for its sockets and its passwords', () => {
    const single = ['hg', 'git'].flatMap((site) => linesOf(`nginx-${site}.conf`));
    assert.deepEqual(without(single, linesOf('nginx-several.conf')), [
      ...['fastcgi_pass unix:/run/fcgi2cgi/hg.sock;', 'auth_basic_user_file /etc/nginx/hg.htpasswd;'],
      // These it has for both.
      ...['client_max_body_size 0;', 'fastcgi_pass unix:/run/fcgi2cgi/git.sock;'],
      ...['fastcgi_read_timeout 1h;', 'fastcgi_send_timeout 1h;'],
      'auth_basic_user_file /etc/nginx/git.htpasswd;',
    ]);
  });
});

/** What has its reason in what no test waits for or brings about, by the file that has it. */
const reasons: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  'waits an hour for a process that is silent: time limits are the bridge’s': {
    'apache-hg.conf': [
      'ProxyPass "/" "unix:/run/fcgi2cgi/hg.sock|fcgi://hg.example.org/" flushpackets=on timeout=3600',
      'ProxyPass "/" "fcgi://127.0.0.1:9000/" flushpackets=on timeout=3600',
    ],
    'h2o-hg.conf': ['fastcgi.timeout.io: 3600000'],
    'haproxy-hg.conf': ['timeout server 1h', 'timeout client 1h'],
    'haproxy-several.conf': ['timeout server 1h', 'timeout client 1h'],
    'nginx-hg.conf': ['fastcgi_read_timeout 1h;', 'fastcgi_send_timeout 1h;'],
  },
  'sends what a process has written as it comes, and lets no process wait for a slow reader': {
    'caddy-hg.conf': ['flush_interval -1'],
    'lighttpd-hg.conf': ['server.stream-response-body = 1'],
  },
  'takes what Debian’s own settings would keep from a repository': {
    'lighttpd-hg.conf': [
      ...['url.access-deny = ()', '"url-invalid-utf8-reject" => "disable",'],
      ...linesOf('run/lighttpd.conf').filter((line) => /^"(?:url|host|header)-/.test(line)),
    ],
  },
  'takes a push as large as a repository, and pulls of many heads': {
    'openbsd-httpd-hg.conf': ['connection max request body 1073741824'],
    'nginx-hg.conf': ['client_max_body_size 0;'],
    'haproxy-several.conf': ['tune.bufsize 65536', 'tune.http.maxhdr 1000'],
  },
  'gives a machine that is gone up soon, and sends what only reads to another': {
    'haproxy-hg.conf': ['timeout connect 5s'],
    'haproxy-several.conf': [
      ...['timeout connect 5s', 'option httpchk GET /health'],
      ...['default-server proto fcgi check inter 1s fall 2 rise 2', 'retries 3', 'option redispatch 1'],
      'retry-on conn-failure empty-response junk-response 503',
      'http-request disable-l7-retry if !{ method GET HEAD } !{ path_end /git-upload-pack }',
      ...['balance leastconn', 'balance leastconn'],
    ],
    'nginx-several.conf': [
      ...['fastcgi_connect_timeout 5s;', 'least_conn;', 'least_conn;'],
      ...[9000, 9001].flatMap((port) =>
        [11, 12, 13].map(
          (last) => `server 192.0.2.${String(last)}:${String(port)} max_fails=1 fail_timeout=5s;`,
        ),
      ),
      ...['fastcgi_next_upstream error timeout invalid_header http_503;', 'fastcgi_next_upstream_tries 3;'],
      'fastcgi_next_upstream error timeout invalid_header http_503 non_idempotent;',
    ],
    'several.toml': ['hold-until-exit = "256kb"', 'drain-delay = "5s"', 'health-path = "/health"'],
  },
  'lets nobody else connect, who could say who somebody is': {
    'several.toml': ['allow-from = ["192.0.2.1"]'],
  },
  'asks who pushes for a password, and takes nobody for somebody who was not asked': {
    'haproxy-several.conf': [
      'http-request del-header Authorization if !{ http_auth(several) }',
      'acl is_push query -m reg (^|&)cmd=(unbundle|pushkey|putlfile)(&|$)',
      'acl is_push method PUT',
      'http-request auth realm "Mercurial push" if is_push !{ http_auth(several) }',
      'acl is_git_push url_param(service),url_dec git-receive-pack',
      'acl is_git_push path,url_dec -m end /git-receive-pack',
      'http-request auth realm "Git push" if !{ http_auth(several) }',
    ],
  },
  'starts a gitweb that refuses what makes git write, and ends before it is killed': {
    'apache-fcgid-gitweb.conf': [
      ...['FcgidMaxProcesses 4', 'SetEnv GITWEB_CONFIG "/etc/gitweb.conf"'],
      'SetEnv GITWEB_CONFIG_COMMON "/usr/local/lib/node_modules/fcgi2cgi/scripts/gitweb-checks.conf"',
      ...['AllowEncodedSlashes On', 'FcgidIOTimeout 60'],
      'FcgidWrapper "/usr/local/bin/fcgi2cgi worker --workers 1 --kill-grace 2s -- /usr/share/gitweb/gitweb.cgi --fcgi" virtual',
    ],
  },
};

describe('A web server', () => {
  for (const [reason, files] of Object.entries(reasons)) {
    it(reason, () => {
      for (const [name, lines] of Object.entries(files))
        assert.deepEqual(without(lines, linesOf(name)), [], name);
    });
  }
});
