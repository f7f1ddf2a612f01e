/** The way of making a script's process that always works: a new program, started for the request. */

import { limited, type SetLimits } from '../process/limits.js';
import type { StartProcess } from '../process/start-process.js';
import type { StartScript } from './process-runner.js';

/** Starts an invocation's program by `start`, with these limits. */
export function spawnScript(start: StartProcess, limits: SetLimits = new Map()): StartScript {
  return (invocation) => start(limited({ ...invocation, environment: invocation.variables }, limits));
}
