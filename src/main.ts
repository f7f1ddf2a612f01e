#!/usr/bin/env node
/** From the command line to an exit status: 0 ended as asked, 2 usage, 1 anything else. */

import './young-generation.js';

import { runCommand } from './cli/command-line.js';
import { sayWhy } from './cli/failure.js';

try {
  await runCommand(process.argv.slice(2));
} catch (error) {
  process.exit(await sayWhy(error));
}
