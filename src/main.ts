#!/usr/bin/env node
/** From the command line to an exit status: 0 ended as asked, 2 usage, 1 anything else. */

import './young-generation.js';

import { ExitStatus } from './cli/exit-status.js';
import { runCommand } from './cli/command-line.js';
import { BridgeError, linesOf } from './errors.js';

try {
  await runCommand(process.argv.slice(2));
} catch (error) {
  for (const line of linesOf(error)) process.stderr.write(`fcgi2cgi: ${line}\n`);
  const known = error instanceof BridgeError ? error : undefined;
  process.exit(known?.code === 'ERR_USAGE' ? ExitStatus.USAGE : (known?.exitStatus ?? ExitStatus.FAILED));
}
