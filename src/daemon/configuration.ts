/** All that a daemon is told, read once and frozen. Times are in milliseconds, sizes in bytes. */

import type { ByteString } from '../base/bytes.js';
import { BridgeError } from '../base/errors.js';
import type { LogOptions } from '../observe/log.js';
import type { ProcessLimits } from '../process/limits.js';
import type { SpawnMethod } from '../process/start-process.js';
import type { RunLimits } from '../runners/runner.js';
import type { DirectorySiteOptions } from '../sites/directory.js';
import type { GitSiteOptions } from '../sites/git/git-site.js';
import type { HgSiteOptions } from '../sites/hg/hg-site.js';
import type { ScriptSiteOptions } from '../sites/script.js';
import type { SiteEnvironment } from '../sites/site.js';
import type { Address } from './listening/address.js';
import type { AdmissionOptions } from './requests/admission.js';
import type { UnixSocketOptions } from './listening/socket-file.js';

/** What a site's options are, but for what the daemon finds by itself. */
type Told<Options, Found extends PropertyKey = never> = Omit<Options, keyof SiteEnvironment | Found>;

/** What a site is; paths are absolute. */
export type SiteConfiguration =
  | ({ readonly kind: 'script' } & Told<ScriptSiteOptions>)
  | ({ readonly kind: 'dir' } & Told<DirectorySiteOptions>)
  | ({
      readonly kind: 'hg';
      /** The `hg` program: a path, or a name to look up in PATH. */
      readonly hg: string;
    } & Told<HgSiteOptions, 'mercurial' | 'hgwebScript'>)
  | ({
      readonly kind: 'git';
      /** Without it `exportAll` says whether all repositories are published, or those that have `git-daemon-export-ok`. */
      readonly markers: ByteString | undefined;
      readonly exportAll: boolean;
      /** The path of gitweb; without it, it is looked for. */
      readonly gitweb: string | undefined;
      /** The `git` program: a path, or a name to look up in PATH. */
      readonly git: string;
    } & Told<GitSiteOptions, 'publishedBy' | 'git' | 'gitwebSettings'>)
  | ({ readonly kind: 'worker' } & WorkerConfiguration);

export interface WorkerConfiguration {
  /** The program, as an absolute path or a name to look up in PATH, and its arguments. */
  readonly command: readonly [ByteString, ...ByteString[]];
  readonly directory: ByteString;
  readonly workers: number;
  readonly maxCrashes: number;
  readonly maxRequests: number;
}

/** How processes are made; the rest is about fork servers. Times in milliseconds. */
interface RunnerConfiguration {
  readonly kind: 'spawn' | 'warm';
  readonly maxForkServers: number;
  readonly idleTimeoutMs: number;
}

/** A site with all that is its own: where it listens, who may connect, and how much it may use. */
export interface ServedSiteConfiguration extends RunLimits, AdmissionOptions {
  /** What the logs call it; undefined where a daemon has but one. */
  readonly name: string | undefined;
  /** Puts into an error that the site is at fault for where it is described, if that is in a file. */
  readonly locate?: (error: BridgeError) => BridgeError;
  readonly site: SiteConfiguration;
  /** Where the bridge answers by itself, if anywhere: what it is doing, and whether it takes new work. */
  readonly statusPath: ByteString | undefined;
  readonly healthPath: ByteString | undefined;
  /** Empty: descriptor 0 is the listening socket. */
  readonly listen: readonly Address[];
  readonly socket: UnixSocketOptions;
  /** Connections that the system keeps for each socket until they are accepted, as far as it allows. */
  readonly backlog: number;
  readonly allowFrom: readonly string[];
  readonly maxConnections: number;
  readonly maxRequestsPerConnection: number;
  readonly maxParamsBytes: number;
  /** Of all requests that have not ended. */
  readonly maxParamsTotalBytes: number;
  /** Bytes of a request's body that are kept in memory, and on disk. */
  readonly stdinBufferBytes: number;
  readonly maxSpoolBytes: number;
  /** Of all bodies on disk. */
  readonly maxSpoolTotalBytes: number;
  readonly runner: RunnerConfiguration;
  readonly limits: ProcessLimits;
  readonly spawnMethod: SpawnMethod;
  /** How long it may take to find out what a request is for; 0 for as long as it takes. */
  readonly lookUpTimeoutMs: number;
  /** Variables of every script that win over what the web server sends. */
  readonly env: ReadonlyMap<ByteString, ByteString>;
  /** Variables of the daemon's own that every script gets. */
  readonly passEnv: readonly string[];
}

/** A socket that tells of the daemon, and takes orders. */
export interface ControlConfiguration {
  readonly address: Address;
  readonly socket: UnixSocketOptions;
}

export interface Configuration {
  /** At least one. */
  readonly sites: readonly ServedSiteConfiguration[];
  /** Processes of all sites, workers aside; undefined for 16 a core, at least 32, and as many as one site may have. */
  readonly maxProcessesTotal: number | undefined;
  /** How long it goes on after SIGTERM, while it says of its health that it takes no new work. */
  readonly drainDelayMs: number;
  /** How long running requests may take after that. */
  readonly stopGraceMs: number;
  /** How long the new process of an upgrade may take to listen; 0 for as long as it likes. */
  readonly upgradeTimeoutMs: number;
  /** Whom to serve as, by names or numbers; undefined leaves what the process is. */
  readonly user: string | undefined;
  readonly group: string | undefined;
  /** Where the daemon runs, as an absolute path; undefined for the root directory. */
  readonly chdir: string | undefined;
  /** What no file of the daemon's or of a program's is permitted; undefined leaves what the process has. */
  readonly umask: number | undefined;
  /** A Unix socket that says what the daemon is doing. */
  readonly control: ControlConfiguration | undefined;
  readonly pidFile: string | undefined;
  readonly background: boolean;
  readonly log: LogOptions;
  /** The file of the access log, which has the format of the log; undefined for none. */
  readonly accessLog: string | undefined;
}

/** What was thrown for a site's sake, saying where the site is described. */
export function located({ locate }: ServedSiteConfiguration, error: unknown): unknown {
  return error instanceof BridgeError && locate !== undefined ? locate(error) : error;
}

/** What `work` comes to for a site, or its error as `located` has it. */
export async function atSite<T>(served: ServedSiteConfiguration, work: () => T): Promise<Awaited<T>> {
  try {
    return await work();
  } catch (error) {
    throw located(served, error);
  }
}

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
