/** The process that takes our place, as we see it. */

import type { ChildProcess, StdioOptions } from 'node:child_process';
import { closeSync } from 'node:fs';
import type { Socket } from 'node:net';

import { BridgeError, bridgeErrorFrom, linesOf } from '../../base/errors.js';
import { Timer } from '../../base/timer.js';
import type { Configuration } from '../configuration.js';
import type { Listener } from '../listening/listener.js';
import { type Logs, openLogFile } from '../process/logs.js';
import type { PidFile } from '../process/pid-file.js';
import { handOver } from './socket-handover.js';
import { type ConnectionMessage, type NextProcessMessage, startAgain } from './start-again.js';
import { type Answer, answerRequest } from './upgrade-request.js';

export interface NextProcessOptions {
  readonly listeners: readonly Listener[];
  readonly pidFile: PidFile | undefined;
  /** The log file, which is its standard error where we are in the background. */
  readonly logFile: string | undefined;
  readonly background: boolean;
  /** How long it may take to listen; 0 for as long as it likes. */
  readonly timeoutMs: number;
  readonly env: Readonly<Record<string, string>>;
  /** Aborts the start. */
  readonly signal: AbortSignal;
  readonly orders: Orders;
}

/** What the next process may want of us, also before it listens: the pid file may have its number already. */
export interface Orders {
  readonly onReopen: () => void;
  /** We are to end soon; perhaps since nobody is left who could take what we still have. */
  readonly onStop: () => void;
}

export class NextProcess {
  readonly #process: ChildProcess;
  /** The listeners that it has taken over, and their numbers. */
  readonly #taken: ReadonlyMap<Listener, number>;
  /** Connections that it was given and has not said yet to have. */
  #underWay = 0;
  #onArrived: () => void = () => undefined;

  private constructor(child: ChildProcess, taken: ReadonlyMap<Listener, number>, { onStop }: Orders) {
    this.#process = child;
    this.#taken = taken;
    // Its end is an order to stop.
    child.once('disconnect', onStop);
    if (!child.connected) onStop();
    // Unless it is told so, Node forgets after a while that the channel is to keep us alive.
    child.channel?.ref();
  }

  /**
   * Starts it; resolves when it listens. Until then, it has taken nothing from us but perhaps the pid file.
   *
   * @throws BridgeError why it does not listen; it has ended then.
   */
  static async start(options: NextProcessOptions): Promise<NextProcess> {
    const { listeners, pidFile, background, logFile, timeoutMs, signal, orders } = options;
    const { descriptors, env } = handOver(listeners, pidFile, 'process');
    const late = new AbortController();
    const timer = new Timer(timeoutMs, () => {
      const what = `the new process did not listen within ${String(timeoutMs)} ms (--upgrade-timeout)`;
      late.abort(new BridgeError('ERR_UPGRADE', what));
    });
    const log = background ? openLogFile(logFile) : undefined;
    timer.start();
    let next: NextProcess | undefined;
    const onMessage = ({ kind }: NextProcessMessage): void => {
      if (kind === 'reopen') orders.onReopen();
      else if (kind === 'stop') orders.onStop();
      else next?.arrived();
    };
    const own: StdioOptions =
      log === undefined ? ['ignore', 'inherit', 'inherit'] : ['ignore', 'ignore', log];
    try {
      const started = await startAgain(
        {
          stdio: [...own, ...descriptors, 'ipc'],
          detached: background,
          env: { ...options.env, ...env },
          advice: logFile ?? 'standard error',
          onMessage,
        },
        AbortSignal.any([late.signal, signal]),
      );
      const taken = new Map(
        listeners.flatMap((listener, index) =>
          started.taken.includes(index) ? [[listener, index] as const] : [],
        ),
      );
      next = new NextProcess(started.process, taken, orders);
      return next;
    } catch (error) {
      throw bridgeErrorFrom(error, 'ERR_UPGRADE');
    } finally {
      timer.stop();
      if (log !== undefined) closeSync(log);
    }
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  get taken(): ReadonlySet<Listener> {
    return new Set(this.#taken.keys());
  }

  /** Has it do what a signal to us was meant for; says whether it is there to do so. */
  heed(signal: NodeJS.Signals): boolean {
    return this.#process.kill(signal);
  }

  /** Gives it a connection that has come to one of the listeners that it has taken, and on which nothing is under way. */
  sendConnection(socket: Socket, listener: Listener): void {
    const number = this.#taken.get(listener);
    const { _handle: handle } = socket as unknown as { _handle?: { readStop?: () => void } | null };
    if (number === undefined || socket.destroyed || !this.#process.connected) {
      socket.destroy();
      return;
    }
    // Node would read on until the other process has it, and throw away what comes.
    handle?.readStop?.();
    const message: ConnectionMessage = { kind: 'connection', listener: number };
    this.#underWay += 1;
    this.#process.send(message, socket, undefined, (error) => {
      if (error === null) return;
      socket.destroy();
      this.arrived();
    });
  }

  /** Tells it, by closing the channel, that we have ended; once it has what it was given, which would be lost with us. */
  async close(): Promise<void> {
    this.#process.removeAllListeners('disconnect');
    await new Promise<void>((resolve) => {
      this.#onArrived = resolve;
      this.#process.once('disconnect', resolve);
      if (this.#underWay === 0 || !this.#process.connected) resolve();
    });
    if (this.#process.connected) this.#process.disconnect();
  }

  /** To be called when it says that it has a connection that it was given. */
  arrived(): void {
    this.#underWay -= 1;
    if (this.#underWay === 0) this.#onArrived();
  }
}

export interface UpgradeOptions extends Pick<NextProcessOptions, 'pidFile' | 'env' | 'signal' | 'orders'> {
  /** What the new process takes over; undefined where this one does not serve yet, or ends already. */
  readonly listeners: readonly Listener[] | undefined;
  readonly configuration: Pick<Configuration, 'log' | 'background' | 'pidFile' | 'upgradeTimeoutMs'>;
  readonly logs: Logs;
  /** Called when the new process listens, before anybody is told. */
  readonly onReplaced: (next: NextProcess) => void;
}

/** Resolves when the new process has taken the place of this one, or the log says why it has not; never rejects. */
export async function upgrade(options: UpgradeOptions): Promise<void> {
  const { listeners, configuration, pidFile, logs, signal, onReplaced } = options;
  const { log, background, pidFile: path, upgradeTimeoutMs: timeoutMs } = configuration;
  const answer = async (how: Answer): Promise<void> => {
    if (path !== undefined) await answerRequest(path, how);
  };
  if (listeners === undefined) {
    // The pid file may be the next process's by now.
    const why = 'no upgrade: this process has only just been started, or ends already';
    const refusal = new BridgeError('ERR_UPGRADE', why);
    logs.report(refusal);
    await answer({ failed: linesOf(refusal) });
    return;
  }
  // One that is killed can't undo what it has changed.
  const restored = await Promise.all(listeners.map((listener) => listener.noteRights()));
  try {
    await answer({ withinMs: timeoutMs });
    logs.log.info({}, 'upgrade: starting the process that takes the place of this one');
    const next = await NextProcess.start({ ...options, listeners, background, logFile: log.file, timeoutMs });
    onReplaced(next);
    await answer({ pid: next.pid ?? 0 });
  } catch (error) {
    logs.report(error);
    if (!signal.aborted) logs.log.error({}, 'the upgrade has failed: this process goes on serving');
    await Promise.all(restored.map((restore) => restore()));
    await pidFile?.restore().catch((reason: unknown) => {
      logs.report(reason);
    });
    await answer({ failed: linesOf(error) });
  }
}
