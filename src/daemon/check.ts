/** Finds what a start would fail for, by what the start asks itself; it opens nothing and starts nothing. */

import { constants } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';

import { fromText } from '../base/bytes.js';
import { BridgeError, systemCodeOf, throwReasons } from '../base/errors.js';
import { mayAccess, ownName } from '../base/executable.js';
import { descriptorLimit } from '../posix/descriptors.js';
import { chooseStart } from '../process/start-process.js';
import { type Configuration, fitConnections, atSite, type ServedSiteConfiguration } from './configuration.js';
import { type Address, AllowFrom, cantListen, formatAddress } from './listening/address.js';
import { requireSocketPath } from './listening/unix-socket.js';
import { findLimits, makeSite } from './make-site.js';
import { rootsDirectoryOf } from './process/files.js';
import { maxOfAll } from './requests/process-total.js';

const { W_OK, X_OK } = constants;

/**
 * Looks as the user who would serve. `note` is told which directories below /run are missing: the system empties that, and
 * the service makes them.
 *
 * @throws BridgeError for all that the start would fail for
 */
export async function checkStart(configuration: Configuration, note: (line: string) => void): Promise<void> {
  const { sites, user, control, pidFile, log, accessLog } = configuration;
  const place: CheckPlace = checkPlace.bind(undefined, user !== undefined, note);
  const checks: readonly (() => unknown)[] = [
    ...sites.map((served) => () => makeSite(served)),
    ...sites.flatMap((served) => checksOf(served, place).map((check) => () => atSite(served, check))),
    () => fitConnections(sites, descriptorLimit(), maxOfAll(configuration)),
    () => control && checkSocket(control.address, place),
    () => checkPidFile(pidFile, place),
    () => checkLog('log-file', log.file, place),
    () => checkLog('access-log', accessLog, place),
  ];
  throwReasons(await Promise.allSettled(checks.map((check) => Promise.resolve().then(check))));
}

function checksOf(served: ServedSiteConfiguration, place: CheckPlace): readonly (() => unknown)[] {
  const { site, spawnMethod } = served;
  const allowFrom = new AllowFrom(served.allowFrom);
  return [
    () => findLimits(served),
    () => site.kind === 'worker' || chooseStart(spawnMethod),
    ...served.listen.map((address) => () => checkAddress(address, allowFrom, place)),
  ];
}

async function checkAddress(address: Address, allowFrom: AllowFrom, place: CheckPlace): Promise<void> {
  if (address.kind !== 'tcp') return checkSocket(address, place);
  try {
    await allowFrom.hostToBind(address.host);
  } catch (cause) {
    throw cantListen(address, cause);
  }
}

type Failed = (why: string) => BridgeError;
type CheckPlace = (path: string, failed: Failed, onlyRoots?: boolean) => Promise<void>;

/** @throws BridgeError `ERR_LISTEN` */
async function checkSocket(address: Address, place: CheckPlace): Promise<void> {
  if (address.kind !== 'unix') return;
  await place(address.path, (why) => new BridgeError('ERR_LISTEN', `${formatAddress(address)}: ${why}`));
  await requireSocketPath(address.path);
}

/** @throws BridgeError `ERR_PID_FILE` */
async function checkPidFile(path: string | undefined, place: CheckPlace): Promise<void> {
  if (path === undefined) return;
  const failed: Failed = (why) =>
    new BridgeError('ERR_PID_FILE', `--pid-file ${path} can't be written: ${why}`);
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile() === false) throw failed('it is no regular file');
  await place(path, failed, true);
}

/** @throws BridgeError `ERR_LOG_FILE` */
async function checkLog(option: string, path: string | undefined, place: CheckPlace): Promise<void> {
  if (path === undefined) return;
  const failed: Failed = (why) =>
    new BridgeError('ERR_LOG_FILE', `--${option} ${path} can't be opened: ${why}`);
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return place(path, failed);
  if (found.isDirectory()) throw failed('it is a directory');
  if (!(await mayAccess(fromText(path), W_OK))) throw failed(`${ownName()} may not write to it`);
}

/**
 * Whether a file can be made there. Where `isRootFirst`, root makes what it can before the user who serves, and leaves it to
 * the user where others than root may change its directory.
 */
async function checkPlace(
  isRootFirst: boolean,
  note: (line: string) => void,
  path: string,
  failed: Failed,
  onlyRoots = false,
): Promise<void> {
  const directory = dirname(path);
  const roots = isRootFirst ? rootsDirectoryOf(path) : undefined;
  if (roots !== undefined && (roots.isRootsAlone || !onlyRoots)) return;
  const isMissing = await stat(directory).then(
    (found) => !found.isDirectory(),
    (error: unknown) => systemCodeOf(error) !== 'EACCES',
  );
  if (isMissing) {
    const why = `there is no directory ${directory}`;
    if (!/^(\/var)?\/run\//.test(directory)) throw failed(`${why}; make it`);
    note(`${failed(why).message}; the service has to make it (systemd: RuntimeDirectory=)`);
  } else if (!(await mayAccess(fromText(directory), W_OK | X_OK))) {
    throw failed(`${ownName()} may not make a file in ${directory}`);
  }
}
