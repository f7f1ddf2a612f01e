/** Makes the runner that a configuration asks for. */

import { reasonOf } from '../errors.js';
import type { Log } from '../observe/log.js';
import { limited, type SetLimits, startLimited } from '../process/limits.js';
import { chooseStart } from '../process/start-process.js';
import { PatientStart } from '../runners/patient-start.js';
import { ProcessRunner, type StartScript } from '../runners/process-runner.js';
import type { Runner } from '../runners/runner.js';
import { spawnScript } from '../runners/spawn-script.js';
import { type WarmOptions, WarmScripts } from '../runners/warm/warm-scripts.js';
import { WorkerPool } from '../runners/worker/worker-pool.js';
import { WorkerRunner } from '../runners/worker/worker-runner.js';
import type { ServedSiteConfiguration, WorkerConfiguration } from './configuration.js';
import { findLimits } from './find-limits.js';
import { findProgram } from './find-program.js';
import { baseEnvironment } from './make-site.js';
import { shippedFile } from './shipped.js';
import { workerReport } from './worker-report.js';

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
  const { run, runner } = configuration;
  const limits = await findLimits(configuration);
  const spawn = startAnew(configuration, log, limits);
  if (runner.kind === 'spawn') return new ProcessRunner(run, spawn);
  const warm = warmScripts(configuration, {
    ...runner,
    spawn,
    limits,
    onEvent: (level, fields, message) => {
      log[level](fields, message);
    },
  });
  const processes = new ProcessRunner(run, warm.start);
  return {
    run: (invocation, streams, signal) => processes.run(invocation, streams, signal),
    status: () => ({ ...processes.status(), warm: warm.status() }),
    destroy: async () => {
      await processes.destroy();
      await warm.close();
    },
  };
}

/** The way of `--runner spawn`, with these limits. @throws BridgeError `ERR_START` where that of `--spawn` is not to be had. */
export function startAnew(
  { spawn, admission }: ServedSiteConfiguration,
  log: Log,
  limits: SetLimits,
): StartScript {
  const { start, fallback } = chooseStart(spawn);
  if (fallback !== undefined) log.info({}, `programs are started by Node, at a higher cost: ${fallback}`);
  const patient = new PatientStart(spawnScript(startLimited(start, limits)), {
    timeoutMs: admission.queueTimeoutMs,
    onShortage: (cause) => {
      log.warn({}, `requests wait until programs can be started again: ${reasonOf(cause)}`);
    },
    onRelief: () => {
      log.info({}, 'programs can be started again');
    },
  });
  return patient.start;
}

/** What makes the processes of `--runner warm`. The caller owns it, and closes it. */
export function warmScripts(
  { run }: ServedSiteConfiguration,
  options: Omit<WarmOptions, 'programs' | 'loadTimeoutMs'>,
): WarmScripts {
  return new WarmScripts({
    ...options,
    programs: shippedFile('scripts/warm'),
    loadTimeoutMs: run.startTimeoutMs,
  });
}

async function workerRunner(
  configuration: ServedSiteConfiguration,
  { command: [name, ...args], directory, workers, maxCrashes, maxRequests }: WorkerConfiguration,
  log: Log,
): Promise<Runner> {
  const { run, env, passEnv } = configuration;
  const environment = new Map([...baseEnvironment(passEnv), ...env]);
  const file = await findProgram(name, environment);
  const pool = await WorkerPool.open({
    command: limited({ file, args, directory, environment }, await findLimits(configuration)),
    workers,
    maxCrashes,
    maxRequests,
    killGraceMs: run.killGraceMs,
    report: workerReport(log),
  });
  return new WorkerRunner(run, pool);
}
