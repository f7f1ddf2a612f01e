/** What `fcgi2cgi setup` asks of this machine: commands of the system, and a page. */

import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

import { reasonOf } from '../../base/errors.js';
import { ExitStatus } from '../exit.js';
import type { Owner } from './wanted.js';
import { CONFIGURATION, type Service } from './service.js';
import { socketOf, type WebSite } from './web-servers.js';

export interface User extends Owner {
  readonly user: string;
  readonly gids: readonly number[];
}

export const tell = (line: string): void => void process.stdout.write(`${line}\n`);

/** The rest of the system's programs lie where only root's PATH leads, and not everybody's. */
const environment = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` };

/** Runs a command that has to succeed, and says so. */
export function run(command: readonly string[], isDry = false): void {
  tell(`${isDry ? 'would: ' : ''}runs ${command.join(' ')}`);
  if (isDry) return;
  const { error, status, stdout, stderr } = execute(command);
  if (status === 0) return;
  const said = inOneLine(`${stderr}\n${stdout}`);
  throw new Error(
    `${command.join(' ')}: ${error === undefined ? said || `exit status ${String(status)}` : reasonOf(error)}`,
  );
}

export function execute(
  [file = '', ...args]: readonly string[],
  as: Partial<Owner> = {},
): SpawnSyncReturns<string> {
  return spawnSync(file, args, { ...as, env: environment, encoding: 'utf8', cwd: '/', timeout: 120_000 });
}

export function reloadOrStart(
  { isRunning, start, reload, said }: ReturnType<Service['other']>,
  isDry: boolean,
): void {
  try {
    run(!isDry && execute(isRunning).status === 0 ? reload : start, isDry);
  } catch (error) {
    const last = said === undefined ? '' : inOneLine(execute(said).stdout);
    throw last === '' ? error : new Error(`${reasonOf(error)} | ${last}`, { cause: error });
  }
}

/** The web server asks for passwords also where it can't look at them. */
export function requireReadable(file: string, { user, uid, gids }: User): void {
  if (gids.some((gid) => execute(['test', '-r', file], { uid, gid }).status === 0)) return;
  const cure = `let that user read ${file}, and enter the directories above`;
  throw new Error(`--password-file ${file}: the web server's user ${user} can't read it; ${cure}`);
}

const inOneLine = (text: string): string => text.trim().replaceAll(/\s*\n\s*/g, ' | ');

/** What is wrong with a configuration file of `fcgi2cgi serve`, if anything is. */
export function faultIn(configuration: string): string | undefined {
  const { status, stderr } = execute([...bridgeCommand(), 'serve', '--config', configuration, '--check']);
  return status === ExitStatus.DONE ? undefined : inOneLine(stderr.replaceAll(/^fcgi2cgi: /gm, ''));
}

const bridgeCommand = (): readonly string[] => [process.execPath, process.argv[1] ?? ''];

/** Fetches the first page through the socket, as the web server's user, and through the web server. */
export async function provePages({ host, port, kind, isPrivate, owner }: WebSite): Promise<void> {
  const address = `unix:${socketOf(host)}`;
  const get = [
    ...bridgeCommand(),
    'get',
    address,
    '/',
    '--header',
    `Host: ${host}`,
    '--param',
    `SERVER_NAME=${host}`,
  ];
  // A git site has no page as yet when no repository is published.
  const isGood = (status: number | null): boolean =>
    status === ExitStatus.DONE || (kind === 'git' && status === ExitStatus.REQUEST_REFUSED);
  const as = { uid: owner.uid, gid: owner.gid };
  let got = execute(get, as);
  // After a reload, the daemon takes a moment until it listens there. With a fault in the file, it never does.
  const isLost = !isGood(got.status) && faultIn(CONFIGURATION) !== undefined;
  for (let left = isLost ? 0 : 50; !isGood(got.status) && left > 0; left--) {
    await sleep(200);
    got = execute(get, as);
  }
  if (!isGood(got.status)) throw new Error(`no page by ${address}: ${got.stderr.trim()}`);
  const isEmpty = got.status === ExitStatus.REQUEST_REFUSED;
  tell(`fetched / by ${address}${isEmpty ? ', which says that no repository is published yet' : ''}`);

  const wanted = isPrivate ? 401 : isEmpty ? 404 : 200;
  let page: Page | undefined;
  const isWanted = (): boolean =>
    page?.status === wanted && (isPrivate || titleOf(page.body) === titleOf(got.stdout));
  for (let left = 50; left > 0 && !isWanted(); left--) {
    page = await pageOf(host, port).catch(() => undefined);
    if (!isWanted()) await sleep(200);
  }
  const url = `http://${host}:${String(port)}/`;
  if (!isWanted()) {
    const what =
      page === undefined
        ? 'is not answered'
        : page.status === wanted
          ? `is another page; look whether something else listens at port ${String(port)}, or serves that host`
          : `has status ${String(page.status)}`;
    throw new Error(`no page by the web server: ${url} on this machine ${what}`);
  }
  tell(`fetched ${url} on this machine${isPrivate ? ', which asks for a password' : ''}`);
}

interface Page {
  readonly status: number | undefined;
  readonly body: string;
}

/** Ages, sizes and times of a page are others a moment later. */
const titleOf = (body: string): string =>
  /<title>[^]*?<\/title>[^]*?<h1>[^]*?<\/h1>|<title>[^]*?<\/title>/.exec(body)?.[0] ?? body;

function pageOf(host: string, port: number): Promise<Page> {
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, path: '/', headers: { Host: host }, timeout: 30_000 }, (response) => {
      text(response).then((body) => {
        resolve({ status: response.statusCode, body });
      }, reject);
    })
      .on('error', reject)
      .end();
  });
}
