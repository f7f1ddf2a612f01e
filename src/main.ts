#!/usr/bin/env node
/** From the command line to an exit status: 0 ended as asked, 2 usage, 1 anything else. */

import { reportFailure } from './cli/exit-status.js';
import { requireWorkingDirectory } from './daemon/process/working-directory.js';
import { limitYoungGeneration } from './base/memory.js';
import { heldThreads } from './base/threads.js';
import { exitAtOnce } from './posix/libc.js';

async function main(): Promise<void> {
  try {
    requireWorkingDirectory();
    // Only now: yargs asks for the directory as soon as it is loaded.
    const { runCommand } = await import('./cli/command-line.js');
    await runCommand(process.argv.slice(2));
    if (heldThreads() > 0) exitAtOnce(0);
  } catch (error) {
    const status = await reportFailure(error);
    if (heldThreads() > 0) exitAtOnce(status);
    process.exit(status);
  }
}

limitYoungGeneration();
void main();
