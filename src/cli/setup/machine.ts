/** What `fcgi2cgi setup` asks of this machine: commands of the system, and a page. */

import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

import { reasonOf } from '../../base/errors.js';
import { ExitStatus } from '../exit-status.js';
import type { Owner } from './root-files.js';
import type { Service } from './service.js';
import { socketOf, type WebSite } from './web-servers.js';

export const tell = (line: string): void => void process.stdout.write(`${line}\n`);

/** The rest of the system's programs lie where only root's PATH leads, and not everybody's. */
const environment = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` };

/** Runs a command that has to succeed, and says so. */
export function run(command: readonly string[], isDry = false): void {
  tell(`${isDry ? 'would: ' : ''}runs ${command.join(' ')}`);
  if (isDry) return;
  const { error, status, stdout, stderr } = execute(command);
  if (status === 0) return;
  const said = `${stderr}\n${stdout}`.trim().replaceAll(/\s*\n\s*/g, ' | ');
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
  service: Pick<Service, 'isRunning' | 'start' | 'reload'>,
  isDry: boolean,
): void {
  run(!isDry && execute(service.isRunning).status === 0 ? service.reload : service.start, isDry);
}

/** Fetches the first page through the socket, as the web server's user, and through the web server. */
export async function provePages({ host, port, kind, isPrivate }: WebSite, owner: Owner): Promise<void> {
  const [, command = ''] = process.argv;
  const address = `unix:${socketOf(host)}`;
  const get = [process.execPath, command, 'get', address, '/', '--header', `Host: ${host}`];
  // A git site has no page as yet when no repository is published.
  const isGood = (status: number | null): boolean =>
    status === ExitStatus.DONE || (kind === 'git' && status === ExitStatus.REQUEST_REFUSED);
  let got = execute(get, owner);
  // After a reload, the daemon takes a moment until it listens there.
  for (let left = 50; !isGood(got.status) && left > 0; left--) {
    await sleep(200);
    got = execute(get, owner);
  }
  if (!isGood(got.status)) throw new Error(`no page by ${address}: ${got.stderr.trim()}`);
  const isEmpty = got.status === ExitStatus.REQUEST_REFUSED;
  tell(`fetched / by ${address}${isEmpty ? ', which says that no repository is published yet' : ''}`);

  let status = 0;
  const expected = (): boolean => (isPrivate ? status === 401 : isEmpty ? status === 404 : status === 200);
  for (let left = 50; left > 0 && !expected(); left--) {
    status = await statusOf(host, port).catch(() => 0);
    if (!expected()) await sleep(200);
  }
  const url = `http://${host}:${String(port)}/`;
  if (!expected())
    throw new Error(
      `no page by the web server: ${url} on this machine is ${status === 0 ? 'not answered' : `status ${String(status)}`}`,
    );
  tell(`fetched ${url} on this machine${isPrivate ? ', which asks for a password' : ''}`);
}

function statusOf(host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    request({ host: '127.0.0.1', port, path: '/', headers: { Host: host }, timeout: 30_000 }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    })
      .on('error', reject)
      .end();
  });
}
