/** Makes the runner that a configuration asks for. */

import { reasonOf } from '../errors.js';
import type { Log } from '../observe/log.js';
import { chooseStart } from '../process/start-process.js';
import { PatientStart } from '../runners/patient-start.js';
import { ProcessRunner } from '../runners/process-runner.js';
import { spawnScript } from '../runners/spawn-script.js';
import { WarmScripts } from '../runners/warm/warm-scripts.js';
import type { ServedSiteConfiguration } from './configuration.js';
import { shippedFile } from './shipped.js';

export interface MadeRunner {
  readonly runner: ProcessRunner;
  /** Ends what is kept ready for requests to come; to be called when all runs have ended. */
  close(): Promise<void>;
}

/** The caller owns the runner. @throws BridgeError `ERR_START` where its way of starting programs is not to be had. */
export function makeRunner(configuration: ServedSiteConfiguration, log: Log): MadeRunner {
  const { spawn, run, admission, runner } = configuration;
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
  if (runner.kind === 'spawn') {
    return { runner: new ProcessRunner(run, patient.start), close: () => Promise.resolve() };
  }
  const warm = new WarmScripts({
    spawn: patient.start,
    programs: shippedFile('scripts/warm'),
    maxForkServers: runner.maxForkServers,
    idleTimeoutMs: runner.idleTimeoutMs,
    loadTimeoutMs: run.startTimeoutMs,
    onEvent: (level, fields, message) => {
      log[level](fields, message);
    },
  });
  return { runner: new ProcessRunner(run, warm.start), close: () => warm.close() };
}
