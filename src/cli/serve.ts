/** Runs the daemon that a configuration describes: in the foreground, or as a process of its own. */

import type { Configuration } from '../daemon/configuration.js';
import { runDaemon } from '../daemon/run-daemon.js';
import { BridgeError, linesOf } from '../errors.js';
import { isBackground, startInBackground, tellStarter } from './background.js';

/** Resolves when the daemon has ended, or listens in the background. @throws BridgeError where it can't start. */
export async function serve(configuration: Configuration): Promise<void> {
  if (!configuration.background) {
    await runDaemon(configuration, () => undefined);
    return;
  }
  if (!isBackground()) {
    await startInBackground(configuration);
    return;
  }
  // Whoever waits for the start and is interrupted does not expect a daemon.
  const endWithStarter = (): void => void process.kill(process.pid, 'SIGTERM');
  process.once('disconnect', endWithStarter);
  try {
    await runDaemon(configuration, () => {
      process.off('disconnect', endWithStarter);
      void tellStarter({ kind: 'listening' });
    });
  } catch (error) {
    // The log has it; the command that was typed prints it, and nobody but the log reads what we would print.
    const code = error instanceof BridgeError ? error.code : 'ERR_START';
    if (process.connected) await tellStarter({ kind: 'failed', code, lines: linesOf(error) });
    process.exitCode = 1;
  }
}
