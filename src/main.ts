#!/usr/bin/env node
/** From the command line to an exit status: 0 ended as asked, 2 usage, 1 anything else. */

import { BridgeError } from './base/errors.js';
import { outputWritten, reportFailure, watchOutput } from './cli/exit.js';
import { limitYoungGeneration } from './base/memory.js';
import { heldThreads } from './base/threads.js';
import { programsLeft } from './process/owned-process.js';
import { exitAtOnce } from './posix/libc.js';

async function main(): Promise<void> {
  // Else Node would end with 0 when there is nothing left that it could wait for.
  process.once('beforeExit', onStuck);
  try {
    requireWorkingDirectory();
    // Only now: yargs asks for the directory as soon as it is loaded.
    const { runCommand } = await import('./cli/command-line.js');
    watchOutput();
    await runCommand(process.argv.slice(2));
    await outputWritten();
    if (heldThreads() > 0) exitAtOnce(0);
    // Node would wait for their end.
    if (programsLeft() > 0) process.exit();
    process.off('beforeExit', onStuck);
  } catch (error) {
    await fail(error);
  }
}

function onStuck(): void {
  const what = 'the command waited for something that never came';
  void fail(new BridgeError('ERR_START', `${what}: this is a mistake of fcgi2cgi; please report it`));
}

async function fail(error: unknown): Promise<never> {
  const status = await reportFailure(error);
  if (heldThreads() > 0) exitAtOnce(status);
  process.exit(status);
}

/** Relative paths begin where the command was started. @throws BridgeError `ERR_START` where that directory is gone */
function requireWorkingDirectory(): void {
  try {
    process.cwd();
  } catch (cause) {
    const why = 'the directory that this was started in is gone; go to one that is there, such as /';
    throw new BridgeError('ERR_START', why, { cause });
  }
}

limitYoungGeneration();
void main();
