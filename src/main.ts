#!/usr/bin/env node
/** From the command line to an exit status: 0 ended as asked, 2 usage, 1 anything else. */

import './young-generation.js';

import { sayWhy } from './cli/failure.js';
import { requireWorkingDirectory } from './cli/working-directory.js';

try {
  requireWorkingDirectory();
  // Only now: yargs asks for the directory as soon as it is loaded.
  const { runCommand } = await import('./cli/command-line.js');
  await runCommand(process.argv.slice(2));
} catch (error) {
  process.exit(await sayWhy(error));
}
