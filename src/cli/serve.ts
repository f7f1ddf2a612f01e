/** Runs the daemon that a configuration describes: in the foreground, or as a process of its own. */

import { formatAddress } from '../daemon/address.js';
import type { Configuration } from '../daemon/configuration.js';
import { askMercurial } from '../daemon/find-mercurial.js';
import { become, identityOf } from '../daemon/privileges.js';
import { Predecessor } from '../daemon/succession/predecessor.js';
import { hasStarter, tellListening } from '../daemon/succession/start-again.js';
import { enter, mask } from '../daemon/surroundings.js';
import { throwReasons } from '../errors.js';
import { startInBackground } from './background.js';

/**
 * Says what `configuration` serves, once all that it names was found to be there, by the user who would serve it; starts
 * nothing.
 *
 * @throws BridgeError for each site that could not start
 */
export async function check(file: string, configuration: Configuration): Promise<string> {
  // Whether all is there depends on who looks. Here root need not say whom: it may only have written the file.
  const identity = configuration.user === undefined ? undefined : identityOf(configuration);
  if (identity !== undefined) become(identity);
  enter(configuration.chdir, undefined);
  const { makeSite } = await import('../daemon/make-site.js');
  throwReasons(await Promise.allSettled(configuration.sites.map(makeSite)));
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
export async function serve(configuration: Configuration, reread?: () => Configuration): Promise<void> {
  const identity = identityOf(configuration);
  mask(configuration.umask);
  if (configuration.background && !hasStarter()) {
    await startInBackground(configuration, identity);
    return;
  }
  // Mercurial takes as long to answer as what serves takes to load. Where root serves as another user, that one asks.
  if (identity === undefined) {
    for (const { site } of configuration.sites) if (site.kind === 'hg') askMercurial(site.hg);
  }
  const { runDaemon } = await import('../daemon/run-daemon.js');
  if (!hasStarter()) {
    await runDaemon(configuration, { identity, reread, onListening: () => undefined });
    return;
  }
  const predecessor = Predecessor.find();
  if (predecessor !== undefined) {
    const onListening = (): void => void predecessor.succeed();
    await runDaemon(configuration, { identity, reread, predecessor, onListening });
    return;
  }
  // Whoever waits for the start and is interrupted does not expect a daemon.
  const endWithStarter = (): void => void process.kill(process.pid, 'SIGTERM');
  process.once('disconnect', endWithStarter);
  const onListening = (): void => {
    process.off('disconnect', endWithStarter);
    void tellListening().then(() => {
      if (process.connected) process.disconnect();
    });
  };
  await runDaemon(configuration, { identity, reread, onListening });
}
