/** Sees to it that connections and programs never need more descriptors than this process may have open. */

import { BridgeError } from '../errors.js';

/** A connection, and a body that is kept on disk for its request. */
const PER_CONNECTION = 2;
/** Our ends of a program's pipes, and its own until it has them. */
const PER_PROCESS = 6;
/** What Node has for itself, the logs, and what we were started with. */
const OWN = 64;

export interface Needs {
  readonly listeners: number;
  readonly maxConnections: number;
  readonly maxProcesses: number;
}

export interface Fitted {
  /** Connections that each listener may have. */
  readonly maxConnections: number;
  /** Why they are fewer than was asked for. */
  readonly warning?: string;
}

/**
 * As many connections as `limit` descriptors allow besides the processes. A process that has none left can't leave a
 * connection waiting either: libuv accepts and closes all that wait, whatever they carry.
 *
 * @throws BridgeError `ERR_START` where the processes leave no room for any.
 */
export function fitConnections({ listeners, maxConnections, maxProcesses }: Needs, limit: number): Fitted {
  const fixed = OWN + listeners + PER_PROCESS * maxProcesses;
  const fitting = Math.floor((limit - fixed) / (PER_CONNECTION * listeners));
  if (fitting >= maxConnections) return { maxConnections };
  const allowed = `this process may have ${String(limit)} descriptors (ulimit -n)`;
  if (fitting < 1) {
    const needed = `need ${String(fixed)} besides those of connections`;
    throw new BridgeError(
      'ERR_START',
      `${String(maxProcesses)} processes (--max-processes) ${needed}, and ${allowed}: lower the one or raise the other`,
    );
  }
  const needed = fixed + PER_CONNECTION * listeners * maxConnections;
  return {
    maxConnections: fitting,
    warning: `--max-connections ${String(maxConnections)} is lowered to ${String(fitting)}: all in all ${String(needed)} descriptors might be needed, and ${allowed}`,
  };
}

/** How many descriptors this process may have open; Node has raised that as far as it may. */
export function descriptorLimit(): number {
  // Without it, Node would ask the DNS for the names of hosts. Its types don't know it yet.
  Object.assign(process.report, { excludeNetwork: true });
  const { userLimits } = process.report.getReport() as unknown as {
    readonly userLimits: { readonly open_files: { readonly soft: number | 'unlimited' } };
  };
  const { soft } = userLimits.open_files;
  return soft === 'unlimited' ? Infinity : soft;
}
