/**
 * The life of a process that a web server has started in a FastCGI application's place: its workers accept on the socket
 * that it was given as descriptor 0, and it holds the socket open while one worker ends and the next one starts.
 */

import { fstatSync } from 'node:fs';
import type { Readable } from 'node:stream';

import { fromText } from '../base/bytes.js';
import { BridgeError, reasonOf, systemCodeOf } from '../base/errors.js';
import { type Log, openLog } from '../observe/log.js';
import { startOnDescriptor } from '../process/start-process.js';
import type { Command } from '../process/command.js';
import { appStatusOf, describeExit } from '../process/exit-status.js';
import { limited } from '../process/limits.js';
import type { OwnedProcess } from '../process/owned-process.js';
import { PROVEN_AFTER_MS, Supervisor, SUSPICIOUS, type WorkerEnd } from '../runners/worker/supervisor.js';
import type { Configuration, ServedSiteConfiguration, WorkerConfiguration } from './configuration.js';
import { findLimits, findProgram } from './make-site.js';
import { runAs } from './process/as-user.js';
import { makeLogFile } from './process/logs.js';
import { enterWorkingDirectory, identityOf, setUmask } from './process/privileges.js';
import { onSignals, stopSignal } from './process/signals.js';
import { takeEnvironment } from './process/systemd.js';
import { logEnd } from './make-runner.js';

const LISTENING_SOCKET = 0;

const FASTCGI_ADVICE = 'does it have to be told to run as a FastCGI application, as gitweb.cgi --fcgi?';

type Process = OwnedProcess<undefined>;

/**
 * Keeps workers on descriptor 0 until SIGTERM or SIGINT, at which they are ended; or SIGUSR1, which is passed on, as
 * FastCGI applications understand it: they end after the request that runs, for at most `stopGraceMs`. Root has to
 * name a user, as whom this command is run first.
 *
 * @throws BridgeError `ERR_USAGE`, `ERR_START` where it can't begin; `ERR_WORKERS`, with the last one's exit status, when
 *   too many workers have failed in a row. None is left then.
 */
export async function runWorkers(
  { log: logOptions, stopGraceMs, user, group, chdir, umask }: Configuration,
  { env, limits, killGraceMs }: Pick<ServedSiteConfiguration, 'env' | 'limits' | 'killGraceMs'>,
  site: WorkerConfiguration,
): Promise<void> {
  requireSocket();
  setUmask(umask);
  const identity = identityOf({ user, group });
  if (identity !== undefined) {
    if (logOptions.file !== undefined) makeLogFile(identity, logOptions.file);
    runAs(identity);
  }
  // None of it is for the application.
  takeEnvironment();
  const log = openLog(logOptions);
  if (chdir !== undefined) enterWorkingDirectory(chdir);
  const command = limited(await commandOf(site, env), await findLimits({ limits }));
  let tooManyFailed: (end: WorkerEnd<Process>) => void = () => undefined;
  const failed = new Promise<WorkerEnd<Process>>((resolve) => (tooManyFailed = resolve));
  const supervisor = superviseOn(command, site, killGraceMs, log, tooManyFailed);
  const rotation = onSignals(['SIGHUP'], () => {
    reopen(log);
  });
  const stop = stopSignal(
    (signal) => {
      if (signal !== 'SIGUSR1') void supervisor.stop();
    },
    ['SIGTERM', 'SIGINT', 'SIGUSR1'],
  );
  try {
    supervisor.start();
    log.info({ pid: process.pid, listen: ['fd:0'], workers: site.workers }, 'listening');
    const reason = await Promise.race([stop.received, failed]);
    if (reason === 'SIGUSR1') await finish(supervisor, stopGraceMs);
    else await supervisor.stop();
    if (typeof reason !== 'string') throw crashLoop(reason);
    log.info({ signal: reason }, 'stopped');
  } finally {
    rotation.dispose();
  }
}

function superviseOn(
  command: Command,
  { workers, maxCrashes }: WorkerConfiguration,
  killGraceMs: number,
  log: Log,
  tooManyFailed: (end: WorkerEnd<Process>) => void,
): Supervisor<Process> {
  const watches = new Map<Process, Watch>();
  const supervisor = new Supervisor<Process>({
    workers,
    killGraceMs,
    start: () => startOnDescriptor(command, LISTENING_SOCKET),
    hasServed: (worker) => watches.get(worker)?.mayHaveServed === true,
    onStarted: (worker) => {
      const { pid, stdout, stderr } = worker;
      log.debug({ pid }, 'worker started');
      // The web server's log is where the application's complaints belong, as they are.
      for (const stream of [stdout, stderr]) {
        stream.on('data', (chunk: Buffer) => process.stderr.write(chunk)).on('error', () => undefined);
      }
      const proven = supervisor.answered.bind(supervisor, worker);
      const printed = `worker writes to its standard output; ${FASTCGI_ADVICE}`;
      watches.set(worker, new Watch(stdout, proven, log.warn.bind(log, { pid }, printed)));
    },
    onEnded: (end) => {
      if (end.process !== undefined) {
        watches.get(end.process)?.end();
        watches.delete(end.process);
        if (end.shortLives === SUSPICIOUS.lives) {
          const what = `${String(end.shortLives)} workers in a row have ended in less than ${String(SUSPICIOUS.lifeMs)} ms`;
          log.warn({}, `${what}; ${FASTCGI_ADVICE}`);
        }
      }
      const isLast = end.failed && maxCrashes > 0 && end.failures >= maxCrashes;
      logEnd(log, isLast ? { ...end, restartMs: undefined } : end);
      if (isLast) tooManyFailed(end);
    },
  });
  return supervisor;
}

/** Has workers end after the request that runs; those that take too long are ended. */
async function finish(supervisor: Supervisor<Process>, graceMs: number): Promise<void> {
  const grace = setTimeout(() => void supervisor.stop(), graceMs);
  await supervisor.stop(({ pid }) => {
    try {
      process.kill(pid, 'SIGUSR1');
    } catch (error) {
      if (systemCodeOf(error) !== 'ESRCH') throw error;
    }
  });
  clearTimeout(grace);
}

/** We stand in the application's place: what the web server has prepared for it in the environment, it gets. */
async function commandOf(
  { command: [name, ...args], directory }: WorkerConfiguration,
  env: ServedSiteConfiguration['env'],
): Promise<Command> {
  const inherited = Object.entries(process.env).map(
    ([variable, value = '']) => [fromText(variable), fromText(value)] as const,
  );
  const variables = new Map([...inherited, ...env]);
  return { file: await findProgram(name, variables), args, directory, variables };
}

function requireSocket(): void {
  let problem = 'is no socket';
  try {
    if (fstatSync(LISTENING_SOCKET).isSocket()) return;
  } catch (error) {
    problem = `can't be used: ${reasonOf(error)}`;
  }
  const advice = 'say for example --listen unix:/run/fcgi2cgi/sock';
  throw new BridgeError(
    'ERR_USAGE',
    `nowhere to listen: without --listen it is descriptor 0, where web servers leave a socket, and that ${problem}; ${advice}`,
  );
}

function crashLoop({ exit, error, failures }: WorkerEnd<Process>): BridgeError {
  const how = error?.message ?? (exit && describeExit(exit)) ?? '';
  const reason = `gave up after ${String(failures)} workers failed in a row (--max-crashes); the last one: ${how}`;
  return new BridgeError('ERR_WORKERS', reason, {
    exitStatus: exit === undefined ? 1 : appStatusOf(exit) || 1,
  });
}

function reopen(log: ReturnType<typeof openLog>): void {
  try {
    log.reopen();
  } catch (error) {
    log.error({ code: 'ERR_LOG_FILE' }, reasonOf(error));
  }
}

/** Owns its timer until `end`. */
export class Watch {
  readonly #timer: NodeJS.Timeout;
  #hasPrinted = false;

  /**
   * `onProven` is called when the worker has run for five seconds; `onPrinted` when it writes to its standard output for
   * the first time: a FastCGI application has no use for that, a CGI program has.
   */
  constructor(stdout: Readable, onProven: () => void, onPrinted: () => void) {
    this.#timer = setTimeout(onProven, PROVEN_AFTER_MS);
    stdout.once('data', () => {
      this.#hasPrinted = true;
      onPrinted();
    });
  }

  /** Whether a worker that has ended with status 0 may have done so on purpose, after answers. */
  get mayHaveServed(): boolean {
    return !this.#hasPrinted;
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}
