/** Makes the runner of a site. */

import type { Log } from '../observe/log.js';
import { ProcessRunner } from '../runners/process-runner.js';
import type { Runner } from '../runners/runner.js';
import { spawnScript } from '../runners/spawn-script.js';
import { WorkerPool } from '../runners/worker/worker-pool.js';
import { WorkerRunner } from '../runners/worker/worker-runner.js';
import type { ServedSiteConfiguration } from './configuration.js';
import { findProgram } from './find-program.js';
import { baseEnvironment } from './make-site.js';
import { workerReport } from './worker-report.js';

/** The runner is owned by the caller, who calls `destroy`. @throws BridgeError `ERR_START` */
export async function makeRunner(
  { site, run, env, passEnv }: ServedSiteConfiguration,
  log: Log,
): Promise<Runner> {
  if (site.kind !== 'worker') return new ProcessRunner(run, spawnScript);
  const [name, ...args] = site.command;
  const environment = new Map([...baseEnvironment(passEnv), ...env]);
  const file = await findProgram(name, environment);
  const { directory, workers, maxCrashes, maxRequests } = site;
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
