/** How the tests of a file start programs: by posix_spawn, unless it says otherwise. */

import { chooseStart, type SpawnMethod, type StartProcess } from '../../src/process/start-process.js';

let way: SpawnMethod = 'posix';

/** To be called before the tests begin. */
export function startBy(other: SpawnMethod): void {
  way = other;
}

/** Starts a program that way. */
export const startProcess: StartProcess = (command) => chooseStart(way).start(command);
