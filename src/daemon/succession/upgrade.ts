/** SIGUSR2: a new process takes the place of this one, or this one goes on; whoever has asked is told which. */

import { BridgeError, linesOf } from '../../errors.js';
import type { Configuration } from '../configuration.js';
import type { Listener } from '../listener.js';
import type { Logs } from '../logs.js';
import type { PidFile } from '../pid-file.js';
import { type Answer, answerRequest } from './request.js';
import { Successor } from './successor.js';

export interface UpgradeOptions {
  /** What the new process takes over; undefined where this one does not serve yet, or ends already. */
  readonly listeners: readonly Listener[] | undefined;
  readonly configuration: Pick<Configuration, 'log' | 'background' | 'pidFile' | 'upgradeTimeoutMs'>;
  /** The pid file that this process holds. */
  readonly pidFile: PidFile | undefined;
  readonly logs: Logs;
  /** What the new process gets in its environment besides. */
  readonly env: Readonly<Record<string, string>>;
  /** Aborts the start of the new process. */
  readonly signal: AbortSignal;
  /** Called when the new process listens, before anybody is told. */
  readonly onReplaced: (successor: Successor) => void;
}

/** Resolves when the new process has taken the place of this one, or the log says why it has not; never rejects. */
export async function upgrade(options: UpgradeOptions): Promise<void> {
  const { listeners, configuration, pidFile, logs, env, signal, onReplaced } = options;
  const { log: logOptions, background, pidFile: path, upgradeTimeoutMs } = configuration;
  const answer = async (how: Answer): Promise<void> => {
    if (path !== undefined) await answerRequest(path, how);
  };
  try {
    if (listeners === undefined) {
      throw new BridgeError('ERR_UPGRADE', 'it has only just been started, or ends already');
    }
    await answer({ withinMs: upgradeTimeoutMs });
    logs.log.info({}, 'upgrade: starting the process that takes the place of this one');
    const successor = await Successor.start({
      listeners,
      pidFile,
      background,
      logFile: logOptions.file,
      timeoutMs: upgradeTimeoutMs,
      env,
      signal,
    });
    onReplaced(successor);
    await answer({ pid: successor.pid ?? 0 });
  } catch (error) {
    logs.mistakes(error);
    logs.log.error({}, 'the upgrade has failed: this process goes on serving');
    await pidFile?.restore().catch((reason: unknown) => {
      logs.mistakes(reason);
    });
    await answer({ failed: linesOf(error) });
  }
}
