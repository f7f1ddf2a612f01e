/** Sees to it that connections and programs never need more descriptors than this process may have open. */

import { BridgeError } from '../../base/errors.js';

/** A connection, and a body that is kept on disk for its request; other bodies of the connection take what is left. */
const PER_CONNECTION = 2;
/** Our ends of a program's pipes, and its own until it has them. */
const PER_PROCESS = 6;
/** Its three pipes, and those of one that takes its place. */
const PER_FORK_SERVER = 6;
/** What Node has for itself, the logs, and what we were started with. */
const OWN = 64;

/** A site, as far as descriptors are concerned; one without addresses listens on one descriptor. */
export interface Needs {
  readonly listen: readonly unknown[];
  readonly maxConnections: number;
  readonly maxProcesses: number;
  readonly site: { readonly kind: string; readonly workers?: number };
  readonly runner: { readonly kind: 'spawn' | 'warm'; readonly maxForkServers: number };
}

export interface Fitted<Site> {
  readonly sites: readonly Site[];
  /** How many bodies may be on disk at once, one descriptor each, whichever connections they are from. */
  readonly maxSpools: number;
  /** Why connections are fewer than was asked for. */
  readonly warning?: string;
}

/**
 * The sites with as many connections as `limit` descriptors allow beside the processes; each gives up the same part. A
 * process that has none left can't leave a connection waiting either: libuv accepts and closes all that wait, whatever
 * they carry.
 *
 * @throws BridgeError `ERR_START` where the processes leave no room for one connection a site.
 */
export function fitConnections<Site extends Needs>(
  sites: readonly Site[],
  limit: number,
  maxProcessesTotal = Infinity,
): Fitted<Site> {
  const sum = (of: (site: Site) => number): number => sites.reduce((all, site) => all + of(site), 0);
  const listeners = sum(({ listen }) => listen.length || 1);
  const scripts = sum(({ site, maxProcesses }) => (site.workers === undefined ? maxProcesses : 0));
  // One worker more is kept as a replacement.
  const workers = sum(({ site }) => (site.workers === undefined ? 0 : site.workers + 1));
  const processes = Math.min(scripts, maxProcessesTotal) + workers;
  const forkServers = sum(({ runner }) => (runner.kind === 'warm' ? runner.maxForkServers : 0));
  const connections = sum(({ maxConnections }) => maxConnections);
  const fixed = OWN + listeners + PER_PROCESS * processes + PER_FORK_SERVER * forkServers;
  const fitting = Math.floor((limit - fixed) / PER_CONNECTION);
  if (fitting >= connections) return { sites, maxSpools: limit - fixed - connections };
  const allowed = `this process may have ${String(limit)} descriptors (ulimit -n)`;
  if (fitting < sites.length) {
    const needed = `need ${String(fixed)} descriptors without those of connections`;
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
    maxSpools: limit - fixed - fitting,
    warning: `--max-connections ${String(connections)} is lowered to ${String(fitting)}: all in all ${String(needed)} descriptors might be needed, and ${allowed}`,
  };
}
