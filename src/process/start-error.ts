/** What is said of a program that could not be started, whoever has tried. */

import { existsSync } from 'node:fs';

import { toBuffer, toText } from '../bytes.js';
import { BridgeError, reasonOf, systemCodeOf } from '../errors.js';
import type { Command } from './command.js';

/** The `ERR_SPAWN` of a command, with what the system has said as its cause. */
export function startError(command: Command, cause: unknown): BridgeError {
  const reason = missing(command, cause) ?? reasonOf(cause);
  return new BridgeError('ERR_SPAWN', `${toText(command.file)} could not be started: ${reason}`, { cause });
}

/** What it is that the system says is not there; it names the program, whatever is missing. */
function missing({ file, directory }: Command, cause: unknown): string | undefined {
  if (systemCodeOf(cause) !== 'ENOENT') return undefined;
  if (!existsSync(toBuffer(directory))) return `there is no directory ${toText(directory)}`;
  return existsSync(toBuffer(file))
    ? 'the interpreter that its first line names does not exist'
    : 'there is no such file';
}

/** @throws BridgeError `ERR_SPAWN` for a NUL octet, which no command can hold. */
export function refuseNul(command: Command): void {
  const { file, args, directory, environment } = command;
  const all = [file, ...args, directory, ...environment.keys(), ...environment.values()];
  if (!all.some((bytes) => bytes.includes('\0'))) return;
  const reason = 'an argument, a variable or its directory contains a NUL octet';
  throw new BridgeError('ERR_SPAWN', `${toText(file)} could not be started: ${reason}`);
}
