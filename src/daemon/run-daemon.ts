/** The life of a daemon process, from its configuration to its end. */

import { BridgeError } from '../errors.js';
import { keepFromPrograms } from '../process/inherited-descriptors.js';
import type { Configuration } from './configuration.js';
import { Daemon } from './daemon.js';
import { DrainDelay } from './drain-delay.js';
import { Logs } from './logs.js';
import { PidFile } from './pid-file.js';
import { become, type Identity } from './privileges.js';
import { reload } from './reload.js';
import { servedHere } from './served-here.js';
import { onSignals, stopSignal } from './signals.js';
import type { Predecessor } from './succession/predecessor.js';
import type { Successor } from './succession/successor.js';
import { upgrade } from './succession/upgrade.js';
import { enter } from './surroundings.js';
import { type SystemdEnvironment, takeSystemdEnvironment } from './systemd/environment.js';
import { Notifier } from './systemd/notifier.js';

export interface LifeOptions {
  /** Whom root becomes as soon as it has bound all sockets; its log files are that user's. */
  readonly identity: Identity | undefined;
  /** Called when every listener accepts. */
  readonly onListening: () => void;
  /** Reads the configuration again, where it is in a file. @throws BridgeError */
  readonly reread?: (() => Configuration) | undefined;
  /** The process whose place this one takes. */
  readonly predecessor?: Predecessor | undefined;
}

/**
 * Serves until SIGTERM or SIGINT, and for `drainDelayMs` after it; a second one ends that time, or else running requests,
 * at once. SIGHUP and SIGUSR1 open the logs anew, and
 * SIGHUP reads the configuration again. At SIGUSR2 a new process takes the place of this one, which serves until the last
 * request that it has has ended.
 *
 * @throws BridgeError where it can't start; nothing is left behind then.
 */
export async function runDaemon(configuration: Configuration, options: LifeOptions): Promise<void> {
  await new Life(configuration, options).run();
}

class Life {
  readonly #options: LifeOptions;
  readonly #logs: Logs;
  readonly #systemd: SystemdEnvironment;
  readonly #notifier: Notifier;
  /** What is served, as it was last read. */
  #configuration: Configuration;
  #daemon: Daemon | undefined;
  #pidFile: PidFile | undefined;
  #successor: Successor | undefined;
  /** What is under way that changes the daemon: one thing after the other. */
  #change = Promise.resolve();
  readonly #stopping = new AbortController();
  readonly #drainDelay = new DrainDelay();
  #onReplaced: (successor: Successor) => void = () => undefined;

  constructor(configuration: Configuration, options: LifeOptions) {
    this.#options = options;
    this.#configuration = configuration;
    this.#systemd = takeSystemdEnvironment();
    this.#logs = new Logs(configuration, options.identity);
    this.#notifier = new Notifier(this.#systemd, {
      status: () => `serving; ${String(this.#daemon?.running ?? 0)} requests run`,
      onProblem: (why) => {
        this.#logs.log.warn({}, why);
      },
    });
  }

  async run(): Promise<void> {
    const { predecessor } = this.#options;
    const { log } = this.#logs;
    const replaced = new Promise<Successor>((resolve) => {
      this.#onReplaced = resolve;
    });
    const signals = onSignals(['SIGHUP', 'SIGUSR1', 'SIGUSR2'], (signal) => {
      this.#heed(signal);
    });
    const stop = stopSignal(() => {
      if (this.#drainDelay.cut()) return;
      void this.#daemon?.destroy();
      predecessor?.stop();
    });
    const told = stop.received.then((signal) => {
      this.#stopping.abort(new BridgeError('ERR_UPGRADE', `${signal} came first`));
      return signal;
    });
    try {
      const daemon = await this.#start();
      const end = await Promise.race([told, replaced]);
      if (typeof end === 'string') {
        await this.#change;
        this.#notifier.stopping();
        await this.#drainDelay.pass(daemon, this.#configuration.drainDelayMs, log);
        await this.#close(daemon, end);
      } else await this.#leave(daemon, end, told);
      log.info({}, 'stopped');
      await this.#successor?.letGo();
      // The signals keep their meaning: one that comes while the process ends must not make a failure of it.
    } catch (error) {
      stop.dispose();
      // With a log file, nobody may ever see what the command printed; a predecessor logs what it is told itself.
      const isRead = this.#configuration.log.file === undefined || predecessor !== undefined;
      if (!isRead) this.#logs.mistakes(error);
      throw error;
    } finally {
      signals.dispose();
      await this.#pidFile?.remove();
    }
  }

  async #start(): Promise<Daemon> {
    const { identity, onListening, predecessor } = this.#options;
    const { log, accessLog } = this.#logs;
    const descriptors = keepFromPrograms();
    if (descriptors.length > 0) {
      log.warn({ descriptors }, 'programs inherit what the daemon was started with: koffi is not installed');
    }
    this.#configuration = this.#here(this.#configuration);
    const { pidFile, chdir } = this.#configuration;
    enter(chdir, identity);
    const left = predecessor?.inheritance;
    const succeeds = left?.pidFile !== undefined && left.pidFile.path === pidFile;
    if (pidFile !== undefined && !succeeds) this.#pidFile = await PidFile.hold(pidFile, identity);
    const daemon = await Daemon.start(this.#configuration, log, accessLog, {
      ...(left && { find: (address, options) => left.take(address, options) }),
      onBound: () => {
        if (identity === undefined) return;
        become(identity);
        const { user, uid, gid } = identity;
        log.info({ uid, gid, groups: process.getgroups?.() }, `serving as user ${user}`);
      },
      onReady: async () => {
        if (!succeeds) return;
        const { path, descriptor } = left.pidFile;
        this.#pidFile = await PidFile.succeed(path, { pid: left.pid, descriptor });
      },
    });
    this.#daemon = daemon;
    for (const site of daemon.named) log.info(site, 'serving');
    const place = left === undefined ? {} : { predecessor: left.pid };
    log.info({ pid: process.pid, listen: daemon.addresses, ...place }, 'listening');
    onListening();
    this.#notifier.ready();
    return daemon;
  }

  #here(read: Configuration): Configuration {
    const { identity, predecessor } = this.#options;
    const passed = [...this.#systemd.sockets, ...(predecessor?.inheritance.passedSockets ?? [])];
    return servedHere(read, passed, identity, this.#logs.log);
  }

  #heed(signal: NodeJS.Signals): void {
    const { reread, predecessor } = this.#options;
    if (signal === 'SIGUSR2') {
      this.#change = this.#change.then(() => this.#upgrade());
      return;
    }
    predecessor?.reopenLogs();
    // What comes before it has started would tell systemd that it has.
    if (signal !== 'SIGHUP' || this.#daemon === undefined) this.#logs.reopen();
    else this.#change = this.#change.then(() => this.#reload(reread));
  }

  /** Opens the logs anew, and reads the configuration again where it can be. Never rejects. */
  async #reload(reread: LifeOptions['reread']): Promise<void> {
    if (this.#daemon === undefined || this.#isEnding) {
      this.#logs.reopen();
      return;
    }
    this.#notifier.reloading();
    this.#logs.reopen();
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
      onReplaced: (successor) => {
        this.#successor = successor;
        this.#notifier.replacedBy(successor.pid ?? 0);
        this.#onReplaced(successor);
      },
    });
  }

  get #isEnding(): boolean {
    return this.#stopping.signal.aborted || this.#successor !== undefined;
  }

  /** Ends what runs, within the grace; and with it whoever this process has replaced. */
  async #close(daemon: Daemon, signal: NodeJS.Signals): Promise<void> {
    const { predecessor } = this.#options;
    this.#logs.log.info({ signal }, 'stopping: running requests may end');
    predecessor?.stop();
    await Promise.all([daemon.close(), predecessor?.ended]);
  }

  /** Serves what it has until the last request has ended, however long that takes, unless it is told to stop. */
  async #leave(daemon: Daemon, successor: Successor, told: Promise<NodeJS.Signals>): Promise<void> {
    this.#logs.log.info({ successor: successor.pid }, 'replaced: running requests may end');
    successor.obey({
      onReopen: () => {
        this.#logs.reopen();
      },
      onStop: () => void process.kill(process.pid, 'SIGTERM'),
    });
    const drained = daemon.drain(successor.taken, (connection, listener) => {
      successor.give(connection, listener);
    });
    const ended = Promise.all([drained, this.#options.predecessor?.ended]);
    const signal = await Promise.race([ended, told]);
    if (typeof signal === 'string') await this.#close(daemon, signal);
  }
}
