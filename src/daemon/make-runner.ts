/** Makes the runner that a configuration asks for, and has the log tell of its workers. */

import { reasonOf } from '../base/errors.js';
import { Threads } from '../base/threads.js';
import { type Log, RepeatedEvents } from '../observe/log.js';
import { describeExit } from '../process/exit-status.js';
import { limited, type SetLimits, startLimited } from '../process/limits.js';
import { chooseStart } from '../process/start-process.js';
import { ProcessRunner, type StartScript } from '../runners/process-runner.js';
import type { Runner } from '../runners/runner.js';
import { spawnScript, StartQueue, type StartQueueOptions } from '../runners/start-queue.js';
import { type WarmOptions, WarmScripts } from '../runners/warm/warm-scripts.js';
import type { WorkerEnd } from '../runners/worker/supervisor.js';
import { WorkerPool, type WorkerReport } from '../runners/worker/worker-pool.js';
import { WorkerRunner } from '../runners/worker/worker-runner.js';
import type { ServedSiteConfiguration, WorkerConfiguration } from './configuration.js';
import { baseEnvironment, findLimits, findProgram } from './make-site.js';
import { shippedFile } from './package.js';

/**
 * The caller owns the runner, and destroys it.
 *
 * @throws BridgeError `ERR_START` where its way of starting programs, or an application, is not to be had.
 */
export function makeRunner(configuration: ServedSiteConfiguration, log: Log): Promise<Runner> {
  const { site } = configuration;
  return site.kind === 'worker' ? workerRunner(configuration, site, log) : processRunner(configuration, log);
}

async function processRunner(configuration: ServedSiteConfiguration, log: Log): Promise<Runner> {
  const { runner } = configuration;
  const limits = await findLimits(configuration);
  const threads = new Threads();
  const spawn = startAnew(configuration, log, limits, threads);
  if (runner.kind === 'spawn') return new ProcessRunner(configuration, spawn);
  const onEvent: WarmOptions['onEvent'] = (level, fields, message) => {
    log[level](fields, message);
  };
  const warm = warmScripts(configuration, { ...runner, spawn, limits, onEvent }, threads);
  return new ProcessRunner(configuration, warm.start, warm);
}

/** The way of `--runner spawn`, with these limits. @throws BridgeError `ERR_START` where that of `--spawn-method` is not to be had. */
export function startAnew(
  { spawnMethod, queueTimeoutMs, lookUpTimeoutMs }: ServedSiteConfiguration,
  log: Log,
  limits: SetLimits,
  threads?: Threads,
): StartScript {
  const { start, fallback } = chooseStart(spawnMethod);
  if (fallback !== undefined) log.info({}, `programs are started by Node, at a higher cost: ${fallback}`);
  const queue = new StartQueue(spawnScript(startLimited(start, limits), lookUpTimeoutMs, threads), {
    timeoutMs: queueTimeoutMs,
    ...tellShortages(log),
  });
  return queue.start;
}

/** Logs when programs can't be started and can be again, which under load may be many times a second. */
export function tellShortages(log: Log): Pick<StartQueueOptions, 'onShortage' | 'onRecovered'> {
  const events = new RepeatedEvents(log);
  const fields = (): Record<string, never> => ({});
  return {
    onShortage: (cause) => {
      const message = `requests wait until programs can be started again: ${reasonOf(cause)}`;
      events.log('shortage', 'warn', fields, message);
    },
    onRecovered: () => {
      events.log('recovery', 'info', fields, 'programs can be started again');
    },
  };
}

/** What makes the processes of `--runner warm`. The caller owns it, and closes it. */
export function warmScripts(
  { spawnMethod, startTimeoutMs, lookUpTimeoutMs }: ServedSiteConfiguration,
  options: Omit<WarmOptions, 'startServer' | 'programs' | 'loadTimeoutMs' | 'lookUpTimeoutMs'>,
  threads?: Threads,
): WarmScripts {
  return new WarmScripts({
    ...options,
    startServer: spawnScript(chooseStart(spawnMethod).start, lookUpTimeoutMs, threads),
    programs: shippedFile('scripts/warm'),
    loadTimeoutMs: startTimeoutMs,
    lookUpTimeoutMs,
  });
}

async function workerRunner(
  configuration: ServedSiteConfiguration,
  { command: [name, ...args], directory, workers, maxCrashes, maxRequests }: WorkerConfiguration,
  log: Log,
): Promise<Runner> {
  const { env, passEnv, startTimeoutMs, killGraceMs } = configuration;
  const variables = new Map([...baseEnvironment(passEnv), ...env]);
  const file = await findProgram(name, variables);
  const pool = await WorkerPool.open({
    command: limited({ file, args, directory, variables }, await findLimits(configuration)),
    workers,
    maxCrashes,
    maxRequests,
    startTimeoutMs,
    killGraceMs,
    report: workerReport(log),
  });
  await pool.begun();
  return new WorkerRunner(configuration, pool);
}

/** Lines of workers that the log has each by itself within this time: one that repeats itself for ever fills no disk. */
const SAID_LINES = 1_000;
const SAID_MS = 10_000;

/** Writes to the log what happens to workers; ends on purpose, of which there may be many, at the level `debug`. */
export function workerReport(log: Log): WorkerReport {
  const events = new RepeatedEvents(log);
  let [lines, since] = [0, -Infinity];
  return {
    started: (pid) => {
      log.debug({ pid }, 'worker started');
    },
    accepts: (pid) => {
      log.debug({ pid }, 'worker accepts connections');
    },
    late: (pid) => {
      log.error({ pid }, 'worker terminated: it has accepted no connection in time (--start-timeout)');
    },
    ended: (end, requests) => {
      logEnd(log, end, requests);
    },
    said: (pid, line) => {
      const now = performance.now();
      if (now - since >= SAID_MS) [lines, since] = [0, now];
      lines += 1;
      if (lines <= SAID_LINES) log.warn({ pid }, `worker: ${line}`);
      else events.log('said', 'warn', () => ({ pid }), `worker: ${line}`);
    },
  };
}

/** `requests` are those that the worker was sent, where that is known. */
export function logEnd(log: Log, end: WorkerEnd<{ readonly pid: number }>, requests?: number): void {
  const { process, exit, error, failed, failures, restartMs } = end;
  const fields = { pid: process?.pid, ...(exit && { exit: describeExit(exit) }), requests };
  if (!failed) {
    log.debug(fields, 'worker ended');
    return;
  }
  const isEarly = exit?.kind === 'exited' && exit.code === 0;
  const what = isEarly ? 'worker ended before it has answered a request' : 'worker crashed';
  const next = restartMs === undefined ? '' : `; starting another in ${String(restartMs)} ms`;
  log.error({ ...fields, failures }, `${error?.message ?? what}${next}`);
}
