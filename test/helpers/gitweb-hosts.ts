/** Web servers that have stock gitweb as a FastCGI application, in every way in which they can. */

import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { main } from './bridge.js';
import { succeed } from './command.js';
import { startNginx } from './nginx.js';
import { temporaryDirectory } from './temporary.js';
import { freePort, startProgram, type WebServer } from './webserver.js';

export const gitweb = '/usr/share/gitweb/gitweb.cgi';

/** What gitweb is asked for: the page that costs it least. */
export const cheapPage = '/?a=project_index';

const PATH = `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`;
const env = { ...process.env, PATH };

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
  // Apache's processes are somebody else's when root starts it.
  await chmod(directory, 0o755);
  await succeed('git', ['init', '--quiet', '--bare', join(directory, 'repos', 'project.git')]);
  const config = join(directory, 'gitweb.conf');
  await writeFile(config, `$projectroot = '${directory}/repos';\n`);
  return { directory, config, log: join(directory, 'bridge.log') };
}

/** The command by which a web server starts the bridge in gitweb's place. */
export function bridgeCommand({ log }: GitwebHost, workers: number): string[] {
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
  return [process.execPath, main, 'worker', ...options, '--', gitweb, '--fcgi'];
}

/** A lighttpd that passes everything to a FastCGI application, at a socket or by starting it. */
export async function startGitwebLighttpd(
  { directory, config }: GitwebHost,
  application: { readonly socket: string } | { readonly command: readonly string[] },
): Promise<WebServer> {
  const port = await freePort();
  const where =
    'socket' in application
      ? `"socket" => "${application.socket}"`
      : `"socket" => "${directory}/application", "bin-path" => "${application.command.join(' ')}", "max-procs" => 1`;
  const file = join(directory, 'lighttpd.conf');
  await writeFile(
    file,
    `server.modules = ( "mod_setenv", "mod_fastcgi" )
server.bind = "127.0.0.1"
server.port = ${String(port)}
server.document-root = "${directory}"
server.errorlog = "${directory}/error.log"
setenv.add-environment = ( "GITWEB_CONFIG" => "${config}" )
fastcgi.server = ( "/" => (( ${where}, "check-local" => "disable", "fix-root-scriptname" => "enable" )))
`,
  );
  const log = (): Promise<string> => readFile(join(directory, 'error.log'), 'utf8');
  return startProgram('lighttpd', ['-D', '-f', file], port, log, env);
}

/** An nginx that passes everything to the socket of a FastCGI application. */
export function startGitwebNginx({ config }: GitwebHost, socket: string): Promise<WebServer> {
  return startNginx(`
    location / {
      include /etc/nginx/fastcgi_params;
      fastcgi_param GITWEB_CONFIG ${config};
      fastcgi_pass unix:${socket};
    }`);
}

/** An Apache whose mod_fcgid starts the command in gitweb's place. */
export async function startGitwebApache(
  { directory, config }: GitwebHost,
  command: readonly string[],
): Promise<WebServer> {
  const port = await freePort();
  const modules = ['mpm_event', 'authz_core', 'alias', 'env', 'fcgid'];
  const file = join(directory, 'apache.conf');
  await mkdir(join(directory, 'docs'));
  await writeFile(
    file,
    `ServerRoot ${directory}
ServerName localhost
Listen 127.0.0.1:${String(port)}
PidFile ${directory}/apache.pid
DefaultRuntimeDir ${directory}
ErrorLog ${directory}/error.log
${modules.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`).join('\n')}
DocumentRoot ${directory}/docs
FcgidIPCDir ${directory}/fcgid
FcgidProcessTableFile ${directory}/fcgid-table
FcgidMaxProcesses 4
FcgidIOTimeout 60
SetEnv GITWEB_CONFIG ${config}
Alias / ${directory}/docs/gitweb.fcgi/
<Directory ${directory}/docs>
  Require all granted
  Options +ExecCGI
  SetHandler fcgid-script
  FcgidWrapper "${command.join(' ')}" virtual
</Directory>
`,
  );
  const log = (): Promise<string> => readFile(join(directory, 'error.log'), 'utf8');
  const apache = ['apache2', '-DFOREGROUND', '-f', file];
  if (process.getuid?.() !== 0) return startProgram('apache2', apache.slice(1), port, log, env);
  // Apache won't serve as root; nobody may not enter a checkout of root's, unless with root's right to pass.
  await succeed('chown', ['-R', '65534:65534', directory]);
  const rights = '+dac_override,+dac_read_search';
  const user = ['--reuid=65534', '--regid=65534', '--clear-groups'];
  const capabilities = [`--inh-caps=${rights}`, `--ambient-caps=${rights}`];
  return startProgram('setpriv', [...user, ...capabilities, ...apache], port, log, env);
}
