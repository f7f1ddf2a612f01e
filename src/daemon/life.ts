/** The life of a daemon process, from its configuration to its end. */

import { setTimeout as delay } from 'node:timers/promises';

import { BridgeError } from '../base/errors.js';
import { keepFromPrograms } from '../posix/descriptors.js';
import { heldThreads } from '../base/threads.js';
import type { Configuration } from './configuration.js';
import { Daemon } from './daemon.js';
import { clearTemporary } from './process/left-behind.js';
import { socketRights } from './process/accounts.js';
import { Logs } from './process/logs.js';
import { PidFile } from './process/pid-file.js';
import { onSignals, stopSignal } from './process/signals.js';
import { enterWorkingDirectory } from './process/privileges.js';
import { reload } from './prepare-sites.js';
import { Notifier, type SystemdEnvironment, takeEnvironment, withPassedSockets } from './process/systemd.js';
import { type NextProcess, upgrade } from './upgrade/next-process.js';
import type { PreviousProcess, ReceivedHandover } from './upgrade/socket-handover.js';

export interface LifeOptions {
  /** Called when every listener accepts. */
  readonly onListening: () => void;
  /** Reads the configuration again, where it is in a file. @throws BridgeError */
  readonly reread?: (() => Configuration) | undefined;
  /** What was left to this process: by the one whose place it takes, or by itself as it was root. */
  readonly received?: ReceivedHandover | undefined;
  /** The process whose place this one takes. */
  readonly previous?: PreviousProcess | undefined;
}

const ignore = (): void => undefined;

/**
 * Serves until SIGTERM or SIGINT, and for `drainDelayMs` after it; a second one ends that time, or else running requests,
 * at once. SIGHUP and SIGUSR1 open the logs again, SIGHUP reads the configuration, too. At SIGUSR2 a new process takes the
 * place of this one, which serves until its last request has ended.
 */
export class Life {
  readonly #options: LifeOptions;
  readonly #logs: Logs;
  readonly #systemd: SystemdEnvironment;
  readonly #notifier: Notifier;
  /** What is served, as it was last read. */
  #configuration: Configuration;
  #daemon: Daemon | undefined;
  #pidFile: PidFile | undefined;
  #next: NextProcess | undefined;
  /** What is under way that changes the daemon, its start first: one thing after the other. */
  #change = Promise.resolve();
  readonly #stopping = new AbortController();
  /** Ends the time of `--drain-delay`, while it runs. */
  #drainDelay: AbortController | undefined;
  #onReplaced: (next: NextProcess) => void = ignore;
  #onOrderToStop: () => void = ignore;

  constructor(configuration: Configuration, options: LifeOptions) {
    this.#options = options;
    this.#configuration = configuration;
    this.#systemd = takeEnvironment();
    this.#logs = new Logs(configuration);
    this.#notifier = new Notifier(this.#systemd, {
      status: () => `serving; ${String(this.#daemon?.running ?? 0)} requests run`,
      onProblem: (why) => {
        this.#logs.log.warn({}, why);
      },
    });
  }

  /** @throws BridgeError where it can't start; nothing is left behind then. */
  async run(): Promise<void> {
    const { previous } = this.#options;
    const { log } = this.#logs;
    const replaced = new Promise<NextProcess>((resolve) => {
      this.#onReplaced = resolve;
    });
    onSignals(['SIGHUP', 'SIGUSR1', 'SIGUSR2'], (signal) => {
      this.#heed(signal);
    });
    const stop = stopSignal(() => {
      if (this.#drainDelay === undefined) {
        void this.#daemon?.destroy();
        previous?.stop();
      } else this.#drainDelay.abort();
    });
    this.#onOrderToStop = stop.order;
    const told = stop.received.then((signal) => {
      this.#stopping.abort(new BridgeError('ERR_UPGRADE', `the upgrade is given up: ${signal} came first`));
      return signal;
    });
    try {
      const starting = this.#start();
      this.#change = starting.then(ignore, ignore);
      const daemon = await starting;
      const end = await Promise.race([told, replaced]);
      if (typeof end === 'string') {
        await this.#change;
        this.#notifier.stopping();
        await this.#delayDrain(daemon);
        await this.#close(daemon, end);
      } else await this.#drain(daemon, end, told);
      const threads = heldThreads();
      if (threads > 0)
        log.warn({ threads }, 'a file system does not answer: the process ends without these threads');
      await this.#change;
      log.info({}, 'stopped');
      await this.#next?.close();
      // The signals keep their meaning: one that comes while the process ends must not make a failure of it.
    } catch (error) {
      stop.dispose();
      // With a log file, nobody may ever see what the command printed; the previous process logs what it is told itself.
      const isRead = this.#configuration.log.file === undefined || previous !== undefined;
      if (!isRead) this.#logs.report(error);
      await this.#options.received?.closeRest();
      throw error;
    } finally {
      await this.#pidFile?.remove();
    }
  }

  async #start(): Promise<Daemon> {
    const { onListening, received, previous } = this.#options;
    const { log, accessLog } = this.#logs;
    const descriptors = keepFromPrograms();
    if (descriptors.length > 0)
      log.warn({ descriptors }, 'programs inherit what the daemon was started with: koffi is not installed');
    this.#configuration = this.#here(this.#configuration);
    const { pidFile, chdir } = this.#configuration;
    const left = received?.pidFile?.path === pidFile ? received?.pidFile : undefined;
    if (received?.isOwn === true && left !== undefined)
      this.#pidFile = PidFile.held(left.path, left.descriptor);
    enterWorkingDirectory(chdir);
    if (pidFile !== undefined && left === undefined) this.#pidFile = await PidFile.hold(pidFile);
    const daemon = await Daemon.start(this.#configuration, log, accessLog, {
      ...(received && { find: (address, options) => received.take(address, options) }),
      onReady: async () => {
        if (previous === undefined || left === undefined) return;
        const { pid } = previous.received;
        this.#pidFile = await PidFile.takeOver(left.path, { pid, descriptor: left.descriptor });
      },
    });
    await received?.closeRest();
    this.#daemon = daemon;
    const us = { uid: process.getuid?.(), gid: process.getgid?.(), groups: process.getgroups?.() };
    if (received?.isOwn === true) log.info(us, `serving as user ${this.#configuration.user ?? ''}`);
    for (const site of daemon.named) log.info(site, 'serving');
    const rights = { sockets: socketRights(daemon.addresses), previous_pid: previous?.received.pid };
    log.info({ pid: process.pid, listen: daemon.addresses, ...rights }, 'listening');
    onListening();
    void clearTemporary(log);
    this.#notifier.ready();
    return daemon;
  }

  #here(read: Configuration): Configuration {
    const passed = [...this.#systemd.sockets, ...(this.#options.received?.passedSockets ?? [])];
    return withPassedSockets(read, passed, this.#logs.log);
  }

  #heed(signal: NodeJS.Signals): void {
    if (signal === 'SIGUSR2') {
      this.#change = this.#change.then(() => this.#upgrade());
      return;
    }
    // The pid file was read before it changed; the next process tells us in its turn.
    if (this.#next?.heed(signal) === true) return;
    this.#reopenLogs();
    this.#change = this.#change.then(async () => {
      // What has been started meanwhile may have opened and read the files of before.
      if (this.#next?.heed(signal) !== true && signal === 'SIGHUP') await this.#reload();
    });
  }

  /** Opens them again, and has those do so that have served before. */
  readonly #reopenLogs = (): void => {
    this.#logs.reopen();
    this.#options.previous?.reopenLogs();
  };

  /** Reads the configuration again where it can be. Never rejects. */
  async #reload(): Promise<void> {
    const { reread } = this.#options;
    if (this.#daemon === undefined || this.#isEnding) return;
    this.#notifier.reloading();
    if (reread !== undefined) {
      const read = (): Configuration => this.#here(reread());
      this.#configuration = await reload(this.#daemon, this.#logs, this.#configuration, read);
    }
    this.#notifier.ready();
  }

  async #upgrade(): Promise<void> {
    await upgrade({
      listeners: this.#isEnding ? undefined : this.#daemon?.listeners,
      configuration: this.#configuration,
      pidFile: this.#pidFile,
      logs: this.#logs,
      env: this.#notifier.environment,
      signal: this.#stopping.signal,
      orders: { onReopen: this.#reopenLogs, onStop: this.#onOrderToStop },
      onReplaced: (next) => {
        this.#next = next;
        this.#notifier.replacedBy(next.pid ?? 0);
        this.#onReplaced(next);
      },
    });
  }

  get #isEnding(): boolean {
    return this.#stopping.signal.aborted || this.#next !== undefined;
  }

  /** Serves on until those who share out requests among several daemons have seen that this one should get none. */
  async #delayDrain(daemon: Daemon): Promise<void> {
    const { drainDelayMs } = this.#configuration;
    if (drainDelayMs === 0) return;
    daemon.startDraining();
    this.#logs.log.info(
      { drain_delay_ms: drainDelayMs },
      'draining: it answers still, and its health is 503',
    );
    this.#drainDelay = new AbortController();
    await delay(drainDelayMs, undefined, { signal: this.#drainDelay.signal }).catch(() => undefined);
    this.#drainDelay = undefined;
  }

  /** Ends what runs, within the grace; and with it the process that this one has replaced. */
  async #close(daemon: Daemon, signal: NodeJS.Signals): Promise<void> {
    const { previous } = this.#options;
    this.#logs.log.info({ signal }, 'stopping: running requests may end');
    previous?.stop();
    await Promise.all([daemon.close(), previous?.ended]);
  }

  /** Serves what it has until the last request has ended, however long that takes, unless it is told to stop. */
  async #drain(daemon: Daemon, next: NextProcess, told: Promise<NodeJS.Signals>): Promise<void> {
    this.#logs.log.info({ next_pid: next.pid }, 'replaced: running requests may end');
    const drained = daemon.drain(next.taken, (connection, listener) => {
      next.sendConnection(connection, listener);
    });
    const ended = Promise.all([drained, this.#options.previous?.ended]);
    const signal = await Promise.race([ended, told]);
    if (typeof signal === 'string') await this.#close(daemon, signal);
  }
}
