/** Finds what a start would fail for, by what the start asks itself; it opens nothing and starts nothing. */

import { constants } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';

import { fromText } from '../base/bytes.js';
import { BridgeError, systemCodeOf, throwReasons } from '../base/errors.js';
import { mayAccess, ownName } from '../base/executable.js';
import { descriptorLimit } from '../posix/descriptors.js';
import { chooseStart } from '../process/start-process.js';
import {
  type Configuration,
  fitConnections,
  located,
  type ServedSiteConfiguration,
} from './configuration.js';
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
  const files = new Files(user !== undefined, note);
  const checks: readonly (() => unknown)[] = [
    ...sites.map((served) => () => makeSite(served)),
    ...sites.flatMap((served) => checksOf(served, files).map((check) => inSite(served, check))),
    () => fitConnections(sites, descriptorLimit(), maxOfAll(configuration)),
    () => control && files.checkSocket(control.address),
    () => files.checkPidFile(pidFile),
    () => files.checkLog('log-file', log.file),
    () => files.checkLog('access-log', accessLog),
  ];
  const settled = checks.map(async (check) => {
    await check();
  });
  throwReasons(await Promise.allSettled(settled));
}

function inSite(served: ServedSiteConfiguration, check: () => unknown) {
  return async (): Promise<void> => {
    try {
      await check();
    } catch (error) {
      throw located(served, error);
    }
  };
}

function checksOf(served: ServedSiteConfiguration, files: Files): readonly (() => unknown)[] {
  const { site, spawnMethod } = served;
  const allowFrom = new AllowFrom(served.allowFrom);
  return [
    () => findLimits(served),
    () => site.kind === 'worker' || chooseStart(spawnMethod),
    ...served.listen.map((address) => () => checkAddress(address, allowFrom, files)),
  ];
}

async function checkAddress(address: Address, allowFrom: AllowFrom, files: Files): Promise<void> {
  if (address.kind !== 'tcp') return files.checkSocket(address);
  try {
    await allowFrom.hostToBind(address.host);
  } catch (cause) {
    throw cantListen(address, cause);
  }
}

/** The files that a daemon makes. */
class Files {
  readonly #isRootFirst: boolean;
  readonly #note: (line: string) => void;

  /** Before the user who serves, root makes what it can where `isRootFirst`. */
  constructor(isRootFirst: boolean, note: (line: string) => void) {
    this.#isRootFirst = isRootFirst;
    this.#note = note;
  }

  /** @throws BridgeError `ERR_LISTEN` */
  async checkSocket(address: Address): Promise<void> {
    if (address.kind !== 'unix') return;
    const { path } = address;
    await this.#checkPlace(path, (why) => new BridgeError('ERR_LISTEN', `${formatAddress(address)}: ${why}`));
    await requireSocketPath(path);
  }

  /** @throws BridgeError `ERR_PID_FILE` */
  async checkPidFile(path: string | undefined): Promise<void> {
    if (path === undefined) return;
    const failed = (why: string): BridgeError =>
      new BridgeError('ERR_PID_FILE', `--pid-file ${path} can't be written: ${why}`);
    const found = await stat(path).catch(() => undefined);
    if (found?.isFile() === false) throw failed('it is no regular file');
    await this.#checkPlace(path, failed, { onlyRoots: true });
  }

  /** @throws BridgeError `ERR_LOG_FILE` */
  async checkLog(option: string, path: string | undefined): Promise<void> {
    if (path === undefined) return;
    const failed = (why: string): BridgeError =>
      new BridgeError('ERR_LOG_FILE', `--${option} ${path} can't be opened: ${why}`);
    const found = await stat(path).catch(() => undefined);
    if (found === undefined) return this.#checkPlace(path, failed);
    if (found.isDirectory()) throw failed('it is a directory');
    if (!(await mayAccess(fromText(path), W_OK))) throw failed(`${ownName()} may not write to it`);
  }

  /** Whether a file can be made there. Root leaves it to the user where others than root may change its directory. */
  async #checkPlace(
    path: string,
    failed: (why: string) => BridgeError,
    { onlyRoots = false } = {},
  ): Promise<void> {
    const directory = dirname(path);
    const roots = this.#isRootFirst ? rootsDirectoryOf(path) : undefined;
    if (roots !== undefined && (roots.isRootsAlone || !onlyRoots)) return;
    const isMissing = await stat(directory).then(
      (found) => !found.isDirectory(),
      (error: unknown) => systemCodeOf(error) !== 'EACCES',
    );
    if (isMissing) {
      const why = `there is no directory ${directory}`;
      if (!/^(\/var)?\/run\//.test(directory)) throw failed(`${why}; make it`);
      this.#note(`${failed(why).message}; the service has to make it (systemd: RuntimeDirectory=)`);
    } else if (!(await mayAccess(fromText(directory), W_OK | X_OK))) {
      throw failed(`${ownName()} may not make a file in ${directory}`);
    }
  }
}
