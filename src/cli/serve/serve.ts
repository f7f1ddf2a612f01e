/** Runs the daemon that a command describes: in the foreground, or as a process of its own. */

import { formatAddress } from '../../daemon/listening/address.js';
import type { Configuration } from '../../daemon/configuration.js';
import {
  enterWorkingDirectory,
  type Identity,
  identityOf,
  isRoot,
  setUmask,
} from '../../daemon/process/privileges.js';
import type { LifeOptions } from '../../daemon/life.js';
import { PreviousProcess, ReceivedHandover } from '../../daemon/upgrade/socket-handover.js';
import { isStartedAgain, startAgain, tellListening } from '../../daemon/upgrade/start-again.js';
import { BridgeError } from '../../base/errors.js';
import { askMercurial } from '../../sites/hg/installation.js';
import type { Run } from '../commands.js';
import { readConfiguration } from '../configuration.js';
import { daemonOptions, serveOptions } from '../options/command-options.js';
import { type Given, readOptions, rowsOf } from '../options/option.js';
import { readSiteKind, type SiteKindName } from '../options/site-kinds.js';

/** Serves one site, as the commands do that are named after its kind. */
export async function serveSite(
  kind: SiteKindName,
  given: Given,
  words: readonly string[],
): Promise<undefined> {
  if (kind === 'worker') return serveWorkers(given, words);
  const argument = [...((given.get('argument') as readonly string[] | undefined) ?? []), ...words];
  const all = new Map([...given, ['argument', argument]]);
  await serve(readConfiguration(readSiteKind(kind, all), all));
}

/** Without `--listen` the application stands at descriptor 0 itself, and we only keep it running. */
async function serveWorkers(given: Given, command: readonly string[]): Promise<undefined> {
  if (command.length === 0) {
    const example = 'fcgi2cgi worker -- /usr/lib/cgi-bin/gitweb.cgi --fcgi';
    throw new BridgeError('ERR_USAGE', `worker: the command to run is missing; say for example ${example}`);
  }
  const described = readSiteKind('worker', new Map([...given, ['command', command]]));
  const configuration = readConfiguration(described, given);
  const [served] = configuration.sites;
  if (served?.site.kind !== 'worker' || served.listen.length > 0) {
    await serve(configuration);
    return;
  }
  const { site } = served;
  for (const option of ['daemon', 'pid-file', 'access-log', 'status-path', 'health-path', 'control']) {
    if ([undefined, false].includes(given.get(option) as false | undefined)) continue;
    throw new BridgeError(
      'ERR_USAGE',
      `worker --${option} needs --listen: without it the web server runs it`,
    );
  }
  if (site.maxRequests > 0) {
    const why = 'without it the workers accept by themselves, and nobody counts';
    throw new BridgeError('ERR_USAGE', `worker --max-requests needs --listen: ${why}`);
  }
  const { runWorkers } = await import('../../daemon/supervise.js');
  await runWorkers(configuration, served, site);
}

/** `fcgi2cgi serve`: serves the sites of a file, or only looks whether it could. */
export const serveFile: Run = async (given) => {
  const { config, check: isCheck } = readOptions(serveOptions, given);
  const overriding = new Map(
    rowsOf(daemonOptions).flatMap(({ name }) => {
      const value = given.get(name);
      return value === undefined ? [] : [[name, value] as const];
    }),
  );
  const { readConfigurationFile } = await import('../toml-file/configuration-file.js');
  // Relative paths mean the same when the file is read again, wherever the daemon is then.
  const directory = process.cwd();
  const read = (): Configuration => readConfigurationFile(config, overriding, directory);
  const configuration = read();
  if (isCheck) process.stdout.write(await check(config, configuration));
  else await serve(configuration, read);
  return undefined;
};

/**
 * Has root go on as the user who would serve `configuration`, if that names one: what is there, and what may be run,
 * depends on who looks. Root need not say whom: it may only have written the file.
 *
 * @throws BridgeError where the system knows no such user, or root can't become it
 */
export async function lookAs(configuration: Configuration): Promise<void> {
  const identity = configuration.user === undefined || !isRoot() ? undefined : identityOf(configuration);
  if (identity === undefined) return;
  const { runAs } = await import('../../daemon/process/as-user.js');
  runAs(identity);
}

/**
 * Says what `configuration` serves, once all that it names was found to be there, by the user who would serve it; starts
 * nothing.
 *
 * @throws BridgeError for all that could not start
 */
async function check(file: string, configuration: Configuration): Promise<string> {
  // What somebody else could not start is not in order for them.
  if (configuration.user !== undefined) identityOf(configuration);
  await lookAs(configuration);
  enterWorkingDirectory(configuration.chdir);
  const { checkStart } = await import('../../daemon/check.js');
  await checkStart(configuration, (line) => void process.stderr.write(`fcgi2cgi: ${line}\n`));
  const lines = configuration.sites.map(({ name = '', site, listen }) => {
    return `  ${[name, site.kind, ...listen.map(formatAddress)].join(' ')}\n`;
  });
  return `${file} is in order:\n${lines.join('')}`;
}

/**
 * Resolves when the daemon has ended, or listens in the background. `reread` reads the configuration again, where it is in
 * a file.
 *
 * @throws BridgeError where it can't start.
 */
async function serve(configuration: Configuration, reread?: () => Configuration): Promise<void> {
  const identity = identityOf(configuration);
  setUmask(configuration.umask);
  if (configuration.background && !isStartedAgain()) {
    await startInBackground(configuration, identity);
    return;
  }
  if (identity !== undefined) {
    const { serveAs } = await import('../../daemon/process/as-user.js');
    await serveAs(identity, configuration, reread);
  }
  // Mercurial takes as long to answer as what serves takes to load.
  for (const { site } of configuration.sites) if (site.kind === 'hg') askMercurial(site.hg);
  const { Life } = await import('../../daemon/life.js');
  const received = ReceivedHandover.find();
  await new Life(configuration, { received, reread, ...toTell(received) }).run();
}

/** Whom the daemon tells that it listens: the previous process of an upgrade, who has started it in the background, or nobody. */
function toTell(received: ReceivedHandover | undefined): Pick<LifeOptions, 'previous' | 'onListening'> {
  if (!isStartedAgain()) return { onListening: () => undefined };
  const previous = received && PreviousProcess.of(received);
  if (previous !== undefined) return { previous, onListening: () => void previous.tellListening() };
  // Somebody who interrupts the wait for the start does not expect a daemon.
  const endWithStarter = (): void => void process.kill(process.pid, 'SIGTERM');
  if (process.connected) process.once('disconnect', endWithStarter);
  // What runs the daemon heeds signals by then.
  else queueMicrotask(endWithStarter);
  const onListening = (): void => {
    process.off('disconnect', endWithStarter);
    void tellListening().then(() => {
      if (process.connected) process.disconnect();
    });
  };
  return { onListening };
}

/**
 * Starts this command again, in a session of its own; resolves when it listens. Its standard error is its log file,
 * so that even a crash of Node's leaves its trace there.
 *
 * @throws BridgeError what the background process could not start for.
 */
async function startInBackground(
  configuration: Configuration,
  identity: Identity | undefined,
): Promise<void> {
  const { log } = configuration;
  // Where root starts it for another user, that one opens the log.
  const { openLogFile } = await import('../../daemon/process/logs.js');
  const stderr = identity === undefined ? openLogFile(log.file) : 2;
  const stdio = descriptors(configuration, stderr);
  const started = await startAgain({ stdio, detached: true, advice: log.file ?? '' });
  if (started.process.connected) started.process.disconnect();
}

/** Inherited sockets keep their numbers; the channel to us comes after them. */
function descriptors({ sites }: Configuration, stderr: number): ('ignore' | 'ipc' | number)[] {
  const sockets = sites.flatMap(({ listen }) =>
    listen.length === 0 ? [0] : listen.flatMap((address) => (address.kind === 'fd' ? [address.fd] : [])),
  );
  const stdio: ('ignore' | 'ipc' | number)[] = ['ignore', 'ignore', stderr];
  for (const socket of sockets) {
    while (stdio.length <= socket) stdio.push('ignore');
    stdio[socket] = socket;
  }
  return [...stdio, 'ipc'];
}
