/** Makes the runner that a configuration asks for. */

import { reasonOf } from '../errors.js';
import type { Log } from '../observe/log.js';
import { chooseStart } from '../process/start-process.js';
import { PatientStart } from '../runners/patient-start.js';
import { ProcessRunner, type StartScript } from '../runners/process-runner.js';
import type { Runner } from '../runners/runner.js';
import { spawnScript } from '../runners/spawn-script.js';
import { type WarmOptions, WarmScripts } from '../runners/warm/warm-scripts.js';
import { WorkerPool } from '../runners/worker/worker-pool.js';
import { WorkerRunner } from '../runners/worker/worker-runner.js';
import type { ServedSiteConfiguration, WorkerConfiguration } from './configuration.js';
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
  return site.kind === 'worker'
    ? workerRunner(configuration, site, log)
    : Promise.resolve(processRunner(configuration, log));
}

function processRunner(configuration: ServedSiteConfiguration, log: Log): Runner {
  const { run, runner } = configuration;
  const spawn = startAnew(configuration, log);
  if (runner.kind === 'spawn') return new ProcessRunner(run, spawn);
  const warm = warmScripts(configuration, {
    ...runner,
    spawn,
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

/** The way of `--runner spawn`. @throws BridgeError `ERR_START` where that of `--spawn` is not to be had. */
export function startAnew({ spawn, admission }: ServedSiteConfiguration, log: Log): StartScript {
  const { start, fallback } = chooseStart(spawn);
  if (fallback !== undefined) log.info({}, `programs are started by Node, at a higher cost: ${fallback}`);
  const patient = new PatientStart(spawnScript(start), {
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
  { run, env, passEnv }: ServedSiteConfiguration,
  { command: [name, ...args], directory, workers, maxCrashes, maxRequests }: WorkerConfiguration,
  log: Log,
): Promise<Runner> {
  const environment = new Map([...baseEnvironment(passEnv), ...env]);
  const file = await findProgram(name, environment);
  const pool = await WorkerPool.open({
    command: { file, args, directory, environment },
    workers,
    maxCrashes,
    maxRequests,
    killGraceMs: run.killGraceMs,
    report: workerReport(log),
  });
  return new WorkerRunner(run, pool);
}
