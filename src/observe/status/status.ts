/** What a daemon is doing at one moment, as plain data: what people and programs are shown is made of it. */

import type { ResultWord } from '../../base/results.js';
import type { Access } from '../access-log.js';
import type { ProcessUsage, WarmStatus, WorkersStatus } from '../../base/runner-status.js';

/** The field by which a response shows that it is from a control socket. */
export const CONTROL_FIELD = 'FCGI2CGI-Control';

/** Times are in milliseconds, sizes in bytes; whatever has come from the network is text that nobody has checked. */
export interface Status {
  readonly version: string;
  readonly pid: number;
  /** Whether it takes new work, or ends with what it has. */
  readonly state: 'accepting' | 'draining';
  readonly startedAt: string;
  readonly uptimeMs: number;
  readonly memory: { readonly residentBytes: number; readonly heapBytes: number };
  readonly cpuMs: number;
  readonly eventLoop: {
    /** How long it has been at work since the start. */
    readonly busyMs: number;
    /** How long it takes just now until it comes to what is next. */
    readonly delayMs: number;
  };
  readonly sites: readonly SiteStatus[];
  /** Those that have begun and not ended, over all sites; the oldest first. */
  readonly requests: readonly RequestStatus[];
  /** The last requests that have failed; the last one comes first. */
  readonly failed: readonly EndedRequest[];
  /** The slowest requests of the last minutes; the slowest comes first. */
  readonly slowest: readonly EndedRequest[];
}

export interface SiteStatus {
  /** As the configuration file has it; where there is but one site, its kind. */
  readonly name: string;
  readonly kind: string;
  readonly listen: readonly string[];
  readonly connections: number;
  readonly maxConnections: number;
  /** Slots that are taken; each process has one. */
  readonly slots: number;
  readonly maxSlots: number;
  readonly queue: number;
  readonly maxQueue: number;
  readonly processesStarted: number;
  readonly counts: SiteCounts;
  /** Undefined where nobody could ask for it when the site was started. */
  readonly activity: Activity | undefined;
  /** Of `--runner warm`. */
  readonly warm: WarmStatus | undefined;
  /** Of a FastCGI application. */
  readonly workers: WorkersStatus | undefined;
}

/** What a site did of late. Numbers of periods are in order, the present one comes last. */
export interface Activity {
  /** In the present period and the one before. */
  readonly requestsPerSecond: number;
  /** The most at once since the start. */
  readonly maxRunning: number;
  readonly maxWaiting: number;
  readonly periodMs: number;
  /** Requests that have ended, and those of them that have failed. */
  readonly requests: readonly number[];
  readonly errors: readonly number[];
  readonly running: readonly number[];
  readonly waiting: readonly number[];
}

/** What has become of a site's requests since the start. */
export interface SiteCounts {
  readonly ended: readonly EndedCount[];
  readonly receivedBytes: number;
  readonly sentBytes: number;
  /** From the end of the params to the first byte of the answer. */
  readonly firstByte: Distribution;
  /** To the end. */
  readonly total: Distribution;
}

export interface EndedCount {
  readonly end: ResultWord;
  /** `2xx`, or `none` where no answer was sent. */
  readonly status: string;
  readonly requests: number;
}

/** How often something has taken no longer than each bound; the last bound is Infinity. */
export interface Distribution {
  readonly count: number;
  readonly sumMs: number;
  readonly buckets: readonly { readonly maxMs: number; readonly count: number }[];
}

export interface RequestStatus {
  readonly id: string;
  readonly site: string;
  /** Reading its body, waiting for a place, running, or answered while its process lives on. */
  readonly state: 'preparing' | 'waiting' | 'running' | 'answered';
  readonly client: string;
  readonly method: string;
  readonly uri: string;
  /** What runs, once that is known. */
  readonly script: string | undefined;
  readonly pid: number | undefined;
  /** That process and those that it has started; empty where nothing is known of them. */
  readonly processes: readonly ProcessUsage[];
  readonly ageMs: number;
  readonly inBytes: number;
  readonly outBytes: number;
}

export interface EndedRequest extends Omit<
  Access,
  'inBytes' | 'outBytes' | 'pid' | 'exitStatus' | 'signal' | 'site'
> {
  readonly site: string;
  readonly endedAt: string;
  /** Why it has failed, as the log has it; empty if it has not. */
  readonly reason: string;
  /** For this number of requests it stands, of which it is the last. */
  readonly times: number;
}

export function statusJson(status: Status): string {
  return `${JSON.stringify(status, snakeCase)}\n`;
}

/** Every object has the same names: what is not known is null, and so is what JSON has no number for. */
function snakeCase(_name: string, value: unknown): unknown {
  // Times, to the tenth of a millisecond.
  if (typeof value === 'number') return Math.round(10 * value) / 10;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [
      name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      each === undefined ? null : (each as unknown),
    ]),
  );
}
