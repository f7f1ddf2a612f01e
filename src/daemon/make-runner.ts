/** Makes the runner that a configuration asks for. */

import { reasonOf } from '../errors.js';
import type { Log } from '../observe/log.js';
import { chooseStart } from '../process/start-process.js';
import { PatientStart } from '../runners/patient-start.js';
import { ProcessRunner } from '../runners/process-runner.js';
import { spawnScript } from '../runners/spawn-script.js';
import type { ServedSiteConfiguration } from './configuration.js';

/** The caller owns the runner. @throws BridgeError `ERR_START` where its way of starting programs is not to be had. */
export function makeRunner({ spawn, run, admission }: ServedSiteConfiguration, log: Log): ProcessRunner {
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
  return new ProcessRunner(run, patient.start);
}
