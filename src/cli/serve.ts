/** Runs the daemon that a configuration describes: in the foreground, or as a process of its own. */

import { formatAddress } from '../daemon/address.js';
import type { Configuration } from '../daemon/configuration.js';
import { makeSite } from '../daemon/make-site.js';
import { become, identityOf } from '../daemon/privileges.js';
import { runDaemon } from '../daemon/run-daemon.js';
import { BridgeError, linesOf, throwReasons } from '../errors.js';
import { isBackground, startInBackground, tellStarter } from './background.js';
import { ExitStatus } from './exit-status.js';

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
  if (!configuration.background) {
    await runDaemon(configuration, { identity, reread, onListening: () => undefined });
    return;
  }
  if (!isBackground()) {
    await startInBackground(configuration, identity);
    return;
  }
  // Whoever waits for the start and is interrupted does not expect a daemon.
  const endWithStarter = (): void => void process.kill(process.pid, 'SIGTERM');
  process.once('disconnect', endWithStarter);
  try {
    const onListening = (): void => {
      process.off('disconnect', endWithStarter);
      void tellStarter({ kind: 'listening' });
    };
    await runDaemon(configuration, { identity, reread, onListening });
  } catch (error) {
    // The log has it; the command that was typed prints it, and nobody but the log reads what we would print.
    const code = error instanceof BridgeError ? error.code : 'ERR_START';
    if (process.connected) await tellStarter({ kind: 'failed', code, lines: linesOf(error) });
    process.exitCode = ExitStatus.FAILED;
  }
}
