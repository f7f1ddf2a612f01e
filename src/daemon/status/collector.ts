/** Brings together what a daemon is doing: what its sites have in hand, what was counted, and what it costs. */

import { setImmediate } from 'node:timers/promises';

import type { Access } from '../../observe/access-log.js';
import { History, RecentRequests } from '../../observe/status/history.js';
import { Metrics } from '../../observe/status/metrics.js';
import type { Activity, Status } from '../../observe/status/status.js';
import { version } from '../package.js';
import type { ServedSite } from '../served-site.js';
import type { RequestResult } from '../requests/request-result.js';

export type WatchedSite = Pick<ServedSite, 'shownName' | 'status' | 'requests' | 'cancel'>;

/** What a site's requests are counted by. */
export interface Tally {
  ended(access: Access, result: Pick<RequestResult, 'level' | 'message' | 'run'>): void;
  /** From now on this number of requests runs and waits. */
  load(running: number, waiting: number): void;
}

/** What a site knows of what it did of late. */
export interface SiteTally extends Tally {
  readonly activity: Activity;
}

/** Owns nothing; it counts from when it was opened. */
export class StatusCollector {
  readonly #metrics: Metrics;
  readonly #recent = new RecentRequests();
  readonly #version = version();
  readonly #isAccepting: () => boolean;
  #sites: readonly WatchedSite[] = [];
  #leaving: readonly WatchedSite[] = [];

  private constructor(metrics: Metrics, isAccepting: () => boolean) {
    this.#metrics = metrics;
    this.#isAccepting = isAccepting;
  }

  static async open(isAccepting: () => boolean): Promise<StatusCollector> {
    return new StatusCollector(await Metrics.open(), isAccepting);
  }

  /** Gives what counts the requests of the site that is shown by that name. */
  tally(shownName: string): SiteTally {
    const count = this.#metrics.counter(shownName);
    const history = new History();
    return {
      ended: (access, result) => {
        count(access);
        const reason = reasonOf(access, result);
        history.ended(reason !== undefined);
        this.#recent.add(shownName, access, reason);
      },
      load: (running, waiting) => {
        history.load(running, waiting);
      },
      get activity() {
        return history.activity;
      },
    };
  }

  /** From now on these are shown; of those that are `leaving`, as others may have their names, only the requests. */
  watch(sites: readonly WatchedSite[], leaving: readonly WatchedSite[] = []): void {
    this.#sites = sites;
    this.#leaving = leaving;
  }

  async status(): Promise<Status> {
    const { rss, heapUsed } = process.memoryUsage();
    const { user, system } = process.cpuUsage();
    const uptimeMs = 1_000 * process.uptime();
    const since = performance.now();
    await setImmediate();
    const delayMs = performance.now() - since;
    return {
      version: this.#version,
      pid: process.pid,
      state: this.#isAccepting() ? 'accepting' : 'draining',
      startedAt: new Date(Date.now() - uptimeMs).toISOString(),
      uptimeMs,
      memory: { residentBytes: rss, heapBytes: heapUsed },
      cpuMs: (user + system) / 1_000,
      eventLoop: { busyMs: performance.eventLoopUtilization().active, delayMs },
      sites: await Promise.all(
        this.#sites.map(async ({ shownName, status }) => ({
          name: shownName,
          ...status,
          counts: await this.#metrics.countsOf(shownName),
        })),
      ),
      requests: [...this.#sites, ...this.#leaving]
        .flatMap(({ requests }) => requests)
        .sort((one, other) => other.ageMs - one.ageMs),
      failed: this.#recent.failed,
      slowest: this.#recent.slowest,
    };
  }

  async prometheus(): Promise<{ readonly contentType: string; readonly text: string }> {
    const { contentType } = this.#metrics;
    return { contentType, text: await this.#metrics.text(await this.status()) };
  }

  /** Ends a request, whichever site has it; resolves when it has ended, or is undefined for an unknown id. */
  cancel(id: string): Promise<Access> | undefined {
    for (const site of [...this.#sites, ...this.#leaving]) {
      const ended = site.cancel(id);
      if (ended !== undefined) return ended;
    }
    return undefined;
  }
}

/** Why a request has failed, where an administrator would say that it has: as the log says, and the script at last. */
function reasonOf(
  { status = 0 }: Access,
  { level, message, run }: Parameters<Tally['ended']>[1],
): string | undefined {
  if (level !== 'error' && level !== 'warn' && status < 500) return undefined;
  const why = message.replace(/^request (?:failed|refused): /, '');
  const said = run?.stderrTail.trimEnd().split('\n').at(-1) ?? '';
  return said === '' || why.includes(said) ? why : `${why} (stderr: ${said})`;
}
