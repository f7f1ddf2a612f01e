/** Web servers that have stock gitweb as a FastCGI application, in every way in which they can. */

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { commandLine } from './bridge.js';
import { succeed } from './command.js';
import { temporaryDirectory } from './temporary.js';
import { nginxServer } from './webserver-table.js';
import { startWebServerWith, type WebServer } from './webserver.js';

export const gitweb = '/usr/share/gitweb/gitweb.cgi';

const shipped = fileURLToPath(
  new URL('../../../scripts/webservers/apache-fcgid-gitweb.conf', import.meta.url),
);

/** What a gitweb that another command than `git` runs has to read. */
export const gitwebChecks = fileURLToPath(new URL('../../../scripts/gitweb-checks.conf', import.meta.url));

/** What gitweb is asked for: the page that costs it least. */
export const cheapPage = '/?a=project_index';

/** A directory for everything that the web server and gitweb need, with one repository in it. */
export interface GitwebHost {
  readonly directory: string;
  /** gitweb's own configuration file. */
  readonly config: string;
  /** The log of a bridge that the web server starts. */
  readonly log: string;
}

export async function makeGitwebHost(): Promise<GitwebHost> {
  const directory = await temporaryDirectory();
  await succeed('git', ['init', '--quiet', '--bare', join(directory, 'repos', 'project.git')]);
  const config = join(directory, 'gitweb.conf');
  await writeFile(config, `$projectroot = '${directory}/repos';\n`);
  return { directory, config, log: join(directory, 'bridge.log') };
}

/** The command by which a web server, which may have our rights or less, starts the bridge in gitweb's place. */
export function bridgeCommand(
  { log }: GitwebHost,
  workers: number,
  rights: { readonly byRoot?: boolean } = {},
): string[] {
  const options = [
    '--workers',
    String(workers),
    '--kill-grace',
    '2s',
    '--log-level',
    'debug',
    '--log-file',
    log,
  ];
  return commandLine(['worker', ...options, '--', gitweb, '--fcgi'], rights);
}

/** A lighttpd that passes everything to a FastCGI application, at a socket or by starting it. */
export function startGitwebLighttpd(
  { directory, config }: GitwebHost,
  application: { readonly socket: string } | { readonly command: readonly string[] },
): Promise<WebServer> {
  const where =
    'socket' in application
      ? `"socket" => "${application.socket}"`
      : `"socket" => "${directory}/application", "bin-path" => "${application.command.join(' ')}", "max-procs" => 1`;
  return startWebServerWith(
    'lighttpd',
    `server.modules += ( "mod_setenv", "mod_fastcgi" )
setenv.add-environment = ( "GITWEB_CONFIG" => "${config}" )
fastcgi.server = ( "/" => (( ${where}, "check-local" => "disable", "fix-root-scriptname" => "enable" )))`,
    { directory },
  );
}

/** An nginx that passes everything to the socket of a FastCGI application. */
export function startGitwebNginx({ directory, config }: GitwebHost, socket: string): Promise<WebServer> {
  const location = `location / {
      include fastcgi_params;
      fastcgi_param GITWEB_CONFIG ${config};
      fastcgi_pass unix:${socket};
    }`;
  return startWebServerWith('nginx', nginxServer(location), { directory });
}

/** An Apache with the configuration that is shipped, whose mod_fcgid starts the command in gitweb's place. */
export async function startGitwebApache(
  { directory, config }: GitwebHost,
  command: readonly string[],
): Promise<WebServer> {
  let settings = await readFile(shipped, 'utf8');
  for (const [theirs, ours] of [
    [/(?<=FcgidWrapper ")[^"]+/, command.join(' ')],
    [/(?<=SetEnv GITWEB_CONFIG ")[^"]+/, config],
    [/(?<=SetEnv GITWEB_CONFIG_COMMON ")[^"]+/, gitwebChecks],
  ] as const) {
    assert.match(settings, theirs);
    settings = settings.replace(theirs, ours);
  }
  return startWebServerWith('apache', settings, { directory });
}
