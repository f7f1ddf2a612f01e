/** The web servers that `fcgi2cgi setup` knows: what each has to be told, made from the shipped configurations. */

import { existsSync, readFileSync } from 'node:fs';

import { shippedFile } from '../../daemon/package.js';
import { BridgeError } from '../../base/errors.js';
import type { Owner, Wanted } from './wanted.js';

/** A site as a web server sees it. */
export interface WebSite {
  readonly kind: 'hg' | 'git';
  readonly host: string;
  readonly port: number;
  readonly markers: string;
  readonly passwordFile: string | undefined;
  /** Reading needs a password, too. */
  readonly isPrivate: boolean;
  /** The web server's user. */
  readonly owner: Owner;
}

export interface WebServer {
  /** The program, by which one tells whether it is installed. */
  readonly program: string;
  readonly service: string;
  readonly check: readonly string[];
  readonly files: (site: WebSite) => readonly Wanted[];
}

/** The socket of a site, and of its index where the web server tells them apart: no other host has that name. */
export const SOCKETS = '/run/fcgi2cgi';
export const socketOf = (host: string): string => `${SOCKETS}/${host}.sock`;
export const indexSocketOf = (host: string): string => `${SOCKETS}/${host}_index.sock`;

function shipped(name: string): string {
  return readFileSync(Buffer.from(shippedFile(`scripts/webservers/${name}.conf`), 'latin1'), 'utf8');
}

/** A shipped configuration with the site's names in it, none of which is looked at for the example's names again. */
function filled(server: string, site: WebSite): string {
  const { kind, host, port, markers, passwordFile = '' } = site;
  const example = `${kind}\\.example\\.org`;
  const places: readonly (readonly [pattern: string, text: string])[] = [
    [`/run/fcgi2cgi/${kind}-index\\.sock`, indexSocketOf(host)],
    [`/run/fcgi2cgi/${kind}\\.sock`, socketOf(host)],
    [`/var/www/${example}`, markers],
    [`/etc/\\w+/${kind}\\.htpasswd`, passwordFile],
    [`http://${example} {`, `http://${host}:${String(port)} {`],
    [example, host],
    ['listen 80;', `listen ${String(port)};`],
    ['\\*:80>', `*:${String(port)}>`],
    ['^# To change: .*\n', '# By fcgi2cgi setup; what you change here, it leaves alone.\n'],
  ];
  const any = new RegExp(places.map(([pattern]) => `(${pattern})`).join('|'), 'gm');
  return shipped(`${server}-${kind}`).replaceAll(any, (...[, ...groups]: readonly unknown[]) => {
    const [, text = ''] = places[groups.findIndex((group) => group !== undefined)] ?? [];
    return text;
  });
}

function changed(text: string, pattern: RegExp, replacement: string): string {
  if (!pattern.test(text))
    throw new Error(`a shipped configuration has nothing that matches ${String(pattern)}`);
  return text.replace(pattern, () => replacement);
}

function nginx(site: WebSite): string {
  const { kind, passwordFile, isPrivate, host } = site;
  let text = filled('nginx', site);
  if (passwordFile === undefined || isPrivate) {
    text = changed(text, /^map [^]*?^}\nmap [^]*?^}\n/m, '');
    text = changed(text, /\$\w+_user;/, passwordFile === undefined ? '"";' : '$remote_user;');
    text = changed(
      text,
      /auth_basic \$\w+_realm;/,
      passwordFile === undefined ? 'auth_basic off;' : `auth_basic "${host}";`,
    );
  }
  if (passwordFile === undefined) text = changed(text, / *auth_basic_user_file .*\n/, '');
  // Two sites may not share a variable: dots and dashes never meet in a host name.
  const name = `$${kind}_${host.replaceAll('-', '__').replaceAll('.', '_')}`;
  return text.replaceAll(new RegExp(`\\$${kind}(?=_(?:realm|user))`, 'g'), () => name);
}

/** What may stand once only in lighttpd's configuration. */
const LIGHTTPD_ONCE = /^server\.modules [^]*?(?=^\$HTTP\["host"\])/m;

function lighttpd(site: WebSite): string {
  const text = changed(filled('lighttpd', site), LIGHTTPD_ONCE, '');
  if (site.passwordFile === undefined)
    return changed(text, /\n {2}# (?:Pushes need|Who may push)[^]*^}\n/m, '}\n');
  if (!site.isPrivate) return text;
  const all = `  auth.require = ( "" => ( "method" => "basic", "realm" => "${site.host}", "require" => "valid-user" ))\n}\n`;
  return changed(
    text,
    /^ {2}\$HTTP\["(?:request-method|url|querystring)"\] (?:!~|=~) "(?:\^\(GET|\/git-receive)[^]*^}\n/m,
    all,
  );
}

function lighttpdOnce(): string {
  const [once = ''] = LIGHTTPD_ONCE.exec(shipped('lighttpd-hg')) ?? [];
  return `# For all sites of fcgi2cgi setup.\n${once.trimEnd()}\n`;
}

function apache(site: WebSite): string {
  const text = filled('apache', site);
  if (site.passwordFile === undefined) {
    return changed(text, /\n *# [^\n]*htpasswd[^]*?<\/Location>\n/m, '');
  }
  return site.isPrivate ? changed(text, / *Require expr .*\n/, '') : text;
}

function caddy(site: WebSite): string {
  const text = filled('caddy', site);
  if (site.passwordFile === undefined) return changed(text, /^\t(?:# [^\n]*\n\t)*@push [^]*?\n\t}\n\n/m, '');
  const lines = existsSync(site.passwordFile) ? readFileSync(site.passwordFile, 'utf8') : '';
  const hashes = lines.match(/^[\w.-]+:\$2[aby]\$\S+$/gm);
  if (hashes === null) {
    const cure = 'Caddy needs bcrypt; make one with htpasswd -B';
    throw new BridgeError(
      'ERR_USAGE',
      `--password-file ${site.passwordFile}: it has no bcrypt line; ${cure}`,
    );
  }
  const users = hashes.map((line) => `\t\t${line.replace(':', ' ')}\n`).join('');
  const withUsers = changed(text, /^\t\tann THE-HASH\n/m, users);
  return site.isPrivate
    ? changed(changed(withUsers, /^\t@push .*\n/m, ''), /basicauth @push/, 'basicauth')
    : withUsers;
}

/** A file, and the link that has the web server read it. */
function enabled(directory: string, available: string, name: string, text: string): readonly Wanted[] {
  return [
    { kind: 'file', path: `${directory}/${available}-available/${name}`, text, mode: 0o644 },
    {
      kind: 'link',
      path: `${directory}/${available}-enabled/${name}`,
      target: `../${available}-available/${name}`,
    },
  ];
}

/** What has a web server listen at the site's port, too, unless `main`, its own file, says so in the words of `already`. */
function listening(
  { port }: WebSite,
  directory: string,
  {
    main,
    already,
    text,
  }: { main: string; already: (port: string) => RegExp; text: (port: string) => string },
): readonly Wanted[] {
  const isAlready = (file: string): boolean => already(String(port)).test(readFileSync(file, 'utf8'));
  if (port === 80 || (existsSync(main) && isAlready(main))) return [];
  const name = `39-fcgi2cgi-port-${String(port)}.conf`;
  return enabled(directory, 'conf', name, `# For sites of fcgi2cgi setup.\n${text(String(port))}\n`);
}

const apacheModules = ['proxy.load', 'proxy.conf', 'proxy_fcgi.load', 'auth_basic.load', 'authn_file.load'];

export const webServers = {
  nginx: {
    program: '/usr/sbin/nginx',
    service: 'nginx',
    check: ['nginx', '-t', '-q'],
    files: (site) => enabled('/etc/nginx', 'sites', `fcgi2cgi-${site.host}`, nginx(site)),
  },
  lighttpd: {
    program: '/usr/sbin/lighttpd',
    service: 'lighttpd',
    check: ['lighttpd', '-tt', '-f', '/etc/lighttpd/lighttpd.conf'],
    files: (site) => [
      ...listening(site, '/etc/lighttpd', {
        main: '/etc/lighttpd/lighttpd.conf',
        already: (port) => new RegExp(`^\\s*server\\.port\\s*=\\s*${port}\\b`, 'm'),
        text: (port) => `$SERVER["socket"] == ":${port}" { }`,
      }),
      ...enabled('/etc/lighttpd', 'conf', '40-fcgi2cgi.conf', lighttpdOnce()),
      ...enabled('/etc/lighttpd', 'conf', `41-fcgi2cgi-${site.host}.conf`, lighttpd(site)),
    ],
  },
  apache: {
    program: '/usr/sbin/apache2',
    service: 'apache2',
    check: ['apache2ctl', 'configtest'],
    files: (site) => [
      ...apacheModules.map((name): Wanted => ({
        kind: 'link',
        path: `/etc/apache2/mods-enabled/${name}`,
        target: `../mods-available/${name}`,
        isForOthers: true,
      })),
      ...listening(site, '/etc/apache2', {
        main: '/etc/apache2/ports.conf',
        already: (port) => new RegExp(`^\\s*Listen\\s+(\\S*:)?${port}\\b`, 'im'),
        text: (port) => `Listen ${port}`,
      }),
      ...enabled('/etc/apache2', 'sites', `fcgi2cgi-${site.host}.conf`, apache(site)),
    ],
  },
  caddy: {
    program: '/usr/bin/caddy',
    service: 'caddy',
    check: ['caddy', 'validate', '--adapter', 'caddyfile', '--config', '/etc/caddy/Caddyfile'],
    files: (site) => [
      {
        kind: 'file',
        path: `/etc/caddy/fcgi2cgi-${site.host}.caddy`,
        text: caddy(site),
        mode: 0o640,
        owner: { uid: 0, gid: site.owner.gid },
      },
      { kind: 'block', path: '/etc/caddy/Caddyfile', text: `import fcgi2cgi-${site.host}.caddy\n` },
    ],
  },
} as const satisfies Record<string, WebServer>;

export type WebServerName = keyof typeof webServers | 'openbsd-httpd';

export const webServerNames: readonly WebServerName[] = [
  ...(Object.keys(webServers) as (keyof typeof webServers)[]),
  'openbsd-httpd',
];

/** For httpd.conf(5) of OpenBSD, which is printed only: its sockets lie below its chroot, /var/www. */
export function openbsdHttpd(site: WebSite): string {
  const text = changed(filled('openbsd-httpd', site), /port 80$/m, `port ${String(site.port)}`);
  const path = site.isPrivate ? site.passwordFile?.replace(/^\/var\/www(?=\/)/, '') : undefined;
  return changed(
    text,
    /^\t# authenticate .*\n/m,
    path === undefined ? '' : `\tauthenticate "${site.host}" with "${path}"\n`,
  );
}
