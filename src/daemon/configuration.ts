/** All that a daemon is told, read once and frozen. Times are in milliseconds, sizes in octets. */

import type { ByteString } from '../bytes.js';
import type { BridgeError } from '../errors.js';
import type { AccessLogOptions } from '../observe/access-log.js';
import type { LogOptions } from '../observe/log.js';
import type { ProcessLimits } from '../process/limits.js';
import type { SpawnWay } from '../process/start-process.js';
import type { RunLimits } from '../runners/runner.js';
import type { Address } from './address.js';
import type { AdmissionOptions } from './admission.js';
import type { UnixSocketOptions } from './socket-file.js';

/** What a site is; paths are absolute. */
export type SiteConfiguration =
  | { readonly kind: 'script'; readonly file: ByteString; readonly args: readonly ByteString[] }
  | { readonly kind: 'dir'; readonly root: ByteString }
  | {
      readonly kind: 'hg';
      readonly repos: ByteString;
      readonly markers: ByteString | undefined;
      readonly urlPrefix: ByteString;
      readonly hgwebConfig: ByteString | undefined;
      /** The `hg` program: a path, or a name to look up in PATH. */
      readonly hg: string;
    }
  | {
      readonly kind: 'git';
      readonly repos: ByteString;
      readonly publishedBy: 'all' | 'export-ok' | { readonly markers: ByteString };
      readonly urlPrefix: ByteString;
      readonly gitwebConfig: ByteString | undefined;
      /** The path of gitweb; without it, it is looked for. */
      readonly gitweb: string | undefined;
      /** The `git` program: a path, or a name to look up in PATH. */
      readonly git: string;
    }
  | ({ readonly kind: 'worker' } & WorkerConfiguration);

/** A FastCGI application. */
export interface WorkerConfiguration {
  /** The program, as an absolute path or a name to look up in PATH, and its arguments. */
  readonly command: readonly [ByteString, ...ByteString[]];
  /** Its working directory. */
  readonly directory: ByteString;
  readonly workers: number;
  readonly maxCrashes: number;
  readonly maxRequests: number;
}

/** How processes are made; times in milliseconds. */
export type RunnerConfiguration =
  | { readonly kind: 'spawn' }
  | { readonly kind: 'warm'; readonly maxForkServers: number; readonly idleTimeoutMs: number };

/** A site with all that is its own: where it listens, who may connect, and how much it may use. */
export interface ServedSiteConfiguration {
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
  readonly allowFrom: readonly string[];
  readonly maxConnections: number;
  readonly maxRequestsPerConnection: number;
  readonly maxParamsBytes: number;
  /** Octets of a request's body that are kept in memory, and on disk. */
  readonly stdinBufferBytes: number;
  readonly maxSpoolBytes: number;
  readonly runner: RunnerConfiguration;
  readonly run: RunLimits;
  readonly limits: ProcessLimits;
  readonly spawn: SpawnWay;
  readonly admission: AdmissionOptions;
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
  /** Without it there is no access log. */
  readonly accessLog: AccessLogOptions | undefined;
}
