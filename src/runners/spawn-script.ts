/** The way of making a script's process that always works: a new program, started for the request. */

import type { StartProcess } from '../process/start-process.js';
import type { StartScript } from './process-runner.js';

/** Starts an invocation's program by `start`. */
export function spawnScript(start: StartProcess): StartScript {
  return (invocation) => start({ ...invocation, environment: invocation.variables });
}
