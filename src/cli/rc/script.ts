/** The script by which a system starts the daemon, with the paths of this installation in it. */

import { BridgeError } from '../../errors.js';
import type { RcSystem } from './systems.js';

/** What a script is to name. */
export interface Installation {
  /** The path of the command `fcgi2cgi`. */
  readonly command: string;
  /** The path of node, where the system's scripts would not find it, or find another. */
  readonly node: string | undefined;
  /** Who serves; undefined leaves it as the script has it. */
  readonly user: string | undefined;
}

/**
 * Fills `text`, the script of `system`, in for `installation`.
 *
 * @throws BridgeError `ERR_START` for a path that can't be written in such a script.
 */
export function fillScript(text: string, system: RcSystem, { command, node, user }: Installation): string {
  const file = `rc.d/${system.file}`;
  refuseUnwritable(command, system.command.refused, file);
  let filled = replaced(text, system.command.text, system.command.filled(command));
  if (node !== undefined) {
    refuseUnwritable(node, system.node.refused, file);
    filled = replaced(filled, system.node.text, system.node.filled(node));
  }
  return user === undefined ? filled : replaced(filled, system.user, user);
}

function refuseUnwritable(path: string, refused: RegExp, file: string): void {
  const odd = refused.exec(path)?.[0];
  if (odd === undefined) return;
  const why = `a script like ${file} can't have ${JSON.stringify(odd)} in this path`;
  throw new BridgeError('ERR_START', `${path}: ${why}; make a symbolic link to it elsewhere, and run that`);
}

function replaced(text: string, pattern: string | RegExp, replacement: string): string {
  const changed =
    typeof pattern === 'string'
      ? text.replaceAll(pattern, () => replacement)
      : text.replace(pattern, () => replacement);
  if (changed === text && !text.includes(replacement)) {
    throw new Error(`a script of rc.d has nothing that matches ${String(pattern)}`);
  }
  return changed;
}
