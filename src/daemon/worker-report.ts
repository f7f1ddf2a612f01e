/** What the log says of workers. */

import type { Log } from '../observe/log.js';
import { describeExit } from '../process/exit-status.js';
import type { WorkerEnd } from '../runners/worker/supervisor.js';
import type { WorkerReport } from '../runners/worker/worker-pool.js';

/** Writes to the log what happens to workers; ends on purpose, of which there may be many, at the level `debug`. */
export function workerReport(log: Log): WorkerReport {
  return {
    started: (pid) => {
      log.debug({ pid }, 'worker started');
    },
    accepts: (pid) => {
      log.debug({ pid }, 'worker accepts connections');
    },
    ended: (end, requests) => {
      logEnd(log, end, requests);
    },
    said: (pid, line) => {
      log.warn({ pid }, `worker: ${line}`);
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
