/**
 * How root serves as another user: it opens what only root can, and then this process runs the same command again as that
 * user, by execv(3). It stays one process, with its id and its parent; of root's memory and rights nothing is left.
 */

import { accessSync, closeSync, constants } from 'node:fs';
import { userInfo } from 'node:os';

import { OptionError, reasonOf } from '../../base/errors.js';
import { openLog } from '../../observe/log.js';
import { type AnotherUser, anotherUser } from '../../posix/another-user.js';
import type { Address } from '../listening/address.js';
import type { Configuration } from '../configuration.js';
import { SiteListeners } from '../listening/site-listeners.js';
import type { UnixSocketOptions } from '../listening/socket-file.js';
import { Control } from '../status/control.js';
import { requirePrograms } from '../make-site.js';
import { passedSockets } from './systemd.js';
import { type Handover, handOver, ReceivedHandover } from '../upgrade/socket-handover.js';
import { canHold, rootsDirectoryOf } from './files.js';
import { Logs, makeLogFile, openLogFile } from './logs.js';
import { PidFile } from './pid-file.js';
import type { Identity } from './privileges.js';

/** Where Node is told of the channel to the process that has started it with one. */
const CHANNEL = 'NODE_CHANNEL_FD';

const STANDARD = [0, 1, 2];

/** What the user's program gets of this one. */
interface Left extends Handover {
  /** The file that is to be its standard error. */
  readonly stderr?: string | undefined;
  /** Asks as the user, while what root has opened can still be closed, for what would fail at once. @throws BridgeError */
  readonly check?: () => void;
}

const NOTHING: Left = { descriptors: [], env: {} };

/**
 * Serves as that user what `configuration` says, and `reread` reads again, where it is in a file.
 *
 * @throws BridgeError `ERR_LISTEN`, `ERR_PID_FILE`, `ERR_LOG_FILE`, and as `runAs` and `reread`; where this process is the
 *   user's by then, some of what root has opened may be left behind.
 */
export async function serveAs(
  identity: Identity,
  configuration: Configuration,
  reread?: () => Configuration,
): Promise<never> {
  const { log, accessLog, background, sites } = configuration;
  const self = selfFor(identity);
  for (const file of [log.file, accessLog]) if (file !== undefined) makeLogFile(identity, file);
  // In an upgrade root has been left what there is, as it is.
  const inherited = ReceivedHandover.find()?.again();
  // What root has opened by then, the user could not remove.
  await requirePrograms(sites).catch((error: unknown) => {
    if (log.file === undefined || inherited !== undefined) throw error;
    self.become(identity);
    new Logs(configuration).report(error);
    throw error;
  });
  const opened = inherited === undefined ? await openAsRoot(identity, configuration) : undefined;
  const ours = sites.flatMap(({ listen }) => listen.flatMap((at) => (at.kind === 'fd' ? at.fd : [])));
  const passed = passedSockets(process.env).map(({ descriptor }) => descriptor);
  try {
    const { descriptors, env } = inherited ?? opened?.left ?? NOTHING;
    const stderr = background ? log.file : undefined;
    const check = (): void => void new Logs(reread?.() ?? configuration);
    return become(self, identity, { descriptors: [...descriptors, ...ours, ...passed], env, stderr, check });
  } catch (error) {
    await opened?.close();
    throw error;
  }
}

/**
 * Runs this command as that user, whatever it is.
 *
 * @throws OptionError `ERR_START` where koffi is missing, root may not change the user, or the user may not read this
 *   program.
 */
export function runAs(identity: Identity): never {
  return become(selfFor(identity), identity, NOTHING);
}

function selfFor({ user: value }: Identity): AnotherUser {
  try {
    return anotherUser();
  } catch (cause) {
    const why =
      'koffi is not installed, without which no other user can be become: ' +
      'install it, or start this as that user (User= of systemd, su, setpriv)';
    throw new OptionError('ERR_START', { option: 'user', value, why }, { cause });
  }
}

/** Nothing may wait between the change of the user and the end of this program. */
function become(self: AnotherUser, identity: Identity, { descriptors, env, stderr, check }: Left): never {
  const failed = (why: string, cause: unknown): OptionError =>
    new OptionError('ERR_START', { option: 'user', value: identity.user, why }, { cause });
  try {
    self.become(identity);
  } catch (error) {
    throw failed(`the system does not let us change to it: ${reasonOf(error)}`, error);
  }
  check?.();
  Object.assign(process.env, environmentOf(identity), env);
  if (stderr !== undefined) {
    const descriptor = openLogFile(stderr);
    self.duplicate(descriptor, 2);
    closeSync(descriptor);
  }
  const [script = '', ...args] = process.argv.slice(1);
  try {
    accessSync(script, constants.R_OK);
    const channel = channelDescriptor();
    if (channel !== undefined) process.env[CHANNEL] = String(channel);
    return self.execute(
      process.execPath,
      [...process.execArgv, script, ...args],
      [...STANDARD, ...descriptors, ...(channel === undefined ? [] : [channel])],
    );
  } catch (error) {
    const why = `that user has to be able to read this program, and run it: ${reasonOf(error)}`;
    throw failed(`${why}; install it where it is everybody's, as in /usr/local`, error);
  }
}

/** Programs must not look into root's home. */
function environmentOf({ user }: Identity): Readonly<Record<string, string>> {
  try {
    const { username, homedir } = userInfo();
    return { USER: username, LOGNAME: username, HOME: homedir };
  } catch {
    return { USER: user, LOGNAME: user, HOME: '/' };
  }
}

/** Node's types lack it. */
function channelDescriptor(): number | undefined {
  return process.connected ? (process.channel as unknown as { readonly fd: number }).fd : undefined;
}

/** @throws BridgeError `ERR_PID_FILE`, `ERR_LISTEN`, `ERR_USAGE`, and as `handOver`; nothing is left behind then. */
async function openAsRoot(
  identity: Identity,
  { pidFile: path, control: asked, sites, log: options }: Configuration,
): Promise<{ readonly left: Handover; readonly close: () => Promise<void> }> {
  // The log file is the user's to open; what fails is an error, which comes alone.
  const log = openLog({ ...options, file: undefined, level: 'error' });
  let [pidFile, control]: [PidFile?, Control?] = [];
  const bound: SiteListeners[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(bound.map((site) => site.close()));
    await control?.close();
    await pidFile?.remove();
  };
  try {
    if (path !== undefined && rootsDirectoryOf(path)?.isRootsAlone === true)
      pidFile = await PidFile.hold(path, { isKept: true });
    if (asked !== undefined && isRootsToBind(asked.address))
      control = await Control.bind(ownedBy(identity, asked), log);
    for (const site of sites) {
      const listen = site.listen.filter(isRootsToBind);
      if (listen.length > 0)
        bound.push(await SiteListeners.bind({ ...ownedBy(identity, site), listen }, log));
    }
    const listeners = [
      ...bound.flatMap(({ all }) => all),
      ...(control === undefined ? [] : [control.listener]),
    ];
    return { left: handOver(listeners, pidFile, 'program'), close };
  } catch (error) {
    await close();
    throw error;
  }
}

function isRootsToBind(address: Address): boolean {
  // Descriptors need nobody to open them.
  if (address.kind !== 'unix') return address.kind === 'tcp';
  const directory = rootsDirectoryOf(address.path);
  return directory !== undefined && (directory.isRootsAlone || canHold);
}

/** Sockets that are made by root belong to the user who serves, unless somebody else was named. */
function ownedBy<T extends { readonly socket: UnixSocketOptions }>({ uid, gid }: Identity, what: T): T {
  const { owner = String(uid), group = String(gid) } = what.socket;
  return { ...what, socket: { ...what.socket, owner, group } };
}
