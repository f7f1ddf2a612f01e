/** Sees to it that connections and programs never need more descriptors than this process may have open. */

import { readFileSync } from 'node:fs';

import { BridgeError } from '../errors.js';

/** A connection, and a body that is kept on disk for its request. */
const PER_CONNECTION = 2;
/** Our ends of a program's pipes, and its own until it has them. */
const PER_PROCESS = 6;
/** What Node has for itself, the logs, and what we were started with. */
const OWN = 64;

/** A site, as far as descriptors are concerned; one without addresses listens on one descriptor. */
export interface Needs {
  readonly listen: readonly unknown[];
  readonly maxConnections: number;
  readonly admission: { readonly maxProcesses: number };
}

export interface Fitted<Site> {
  readonly sites: readonly Site[];
  /** Why connections are fewer than was asked for. */
  readonly warning?: string;
}

/**
 * The sites with as many connections as `limit` descriptors allow besides the processes; each gives up the same part. A
 * process that has none left can't leave a connection waiting either: libuv accepts and closes all that wait, whatever
 * they carry.
 *
 * @throws BridgeError `ERR_START` where the processes leave no room for one connection a site.
 */
export function fitConnections<Site extends Needs>(sites: readonly Site[], limit: number): Fitted<Site> {
  const sum = (of: (site: Site) => number): number => sites.reduce((all, site) => all + of(site), 0);
  const listeners = sum(({ listen }) => listen.length || 1);
  const processes = sum(({ admission }) => admission.maxProcesses);
  const connections = sum(({ maxConnections }) => maxConnections);
  const fixed = OWN + listeners + PER_PROCESS * processes;
  const fitting = Math.floor((limit - fixed) / PER_CONNECTION);
  if (fitting >= connections) return { sites };
  const allowed = `this process may have ${String(limit)} descriptors (ulimit -n)`;
  if (fitting < sites.length) {
    const needed = `need ${String(fixed)} besides those of connections`;
    throw new BridgeError(
      'ERR_START',
      `${String(processes)} processes (--max-processes) ${needed}, and ${allowed}: lower the one or raise the other`,
    );
  }
  const needed = fixed + PER_CONNECTION * connections;
  // One each first, so that the smallest of them has any.
  const part = (fitting - sites.length) / (connections - sites.length);
  return {
    sites: sites.map((site) => ({
      ...site,
      maxConnections: 1 + Math.floor((site.maxConnections - 1) * part),
    })),
    warning: `--max-connections ${String(connections)} is lowered to ${String(fitting)}: all in all ${String(needed)} descriptors might be needed, and ${allowed}`,
  };
}

/** How many descriptors this process may have open; Node has raised that as far as it may. */
export function descriptorLimit(): number {
  const soft = softLimitOfLinux() ?? softLimitOfReport();
  return soft === 'unlimited' ? Infinity : Number(soft);
}

/** As proc_pid_limits(5) has it, in a thousandth of the time that Node's report takes (30 ms). */
function softLimitOfLinux(): string | undefined {
  try {
    return /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))?.[1];
  } catch {
    return undefined;
  }
}

function softLimitOfReport(): number | 'unlimited' {
  // Without it, Node would ask the DNS for the names of hosts. Its types don't know it yet.
  Object.assign(process.report, { excludeNetwork: true });
  const { userLimits } = process.report.getReport() as unknown as {
    readonly userLimits: { readonly open_files: { readonly soft: number | 'unlimited' } };
  };
  return userLimits.open_files.soft;
}
