/** What was asked, what had to come of it, and in the end: whether the access logs say the same. */

import type { AccessLine } from './access-lines.js';

/** What must be in the access log of one request. */
interface Entry {
  readonly kind: string;
  /** The ways in which it may have ended; undefined for any but the bridge's own fault. */
  readonly ends: readonly string[] | undefined;
  /** Whether the web server must have passed it on. */
  readonly isCertain: boolean;
}

interface Suspect {
  readonly tag: string;
  readonly what: string;
}

interface Tally {
  loads: number;
  requests: number;
  killed: number;
  unexpected: number;
}

const TAG = /soak=([\w.]+)/;

export class Ledger {
  readonly killedPids = new Set<number>();
  readonly unexpected: string[] = [];
  readonly tallies = new Map<string, Tally>();
  readonly #entries = new Map<string, Entry>();
  readonly #suspects: Suspect[] = [];

  tally(kind: string): Tally {
    const tally = this.tallies.get(kind) ?? { loads: 0, requests: 0, killed: 0, unexpected: 0 };
    this.tallies.set(kind, tally);
    return tally;
  }

  get requests(): number {
    return this.#entries.size;
  }

  /** Answers that were not as expected, most of them by those whose process was killed. */
  get suspects(): number {
    return this.#suspects.length;
  }

  /** Notes that a request with this tag in its URI is about to be sent. */
  enter(tag: string, entry: Entry): void {
    this.#entries.set(tag, entry);
    this.tally(entry.kind).requests += 1;
  }

  /** Notes an answer that was not as expected: wrong, unless the request's process was killed. */
  suspect(tag: string, what: string): void {
    this.#suspects.push({ tag, what });
  }

  /** Notes what nothing excuses. */
  wrong(kind: string, what: string): void {
    this.tally(kind).unexpected += 1;
    this.unexpected.push(`${kind}: ${what}`);
  }

  /** Compares with all lines of all access logs, in which the requests of other senders have no tag. */
  reckon(lines: readonly AccessLine[]): void {
    const byTag = new Map<string, AccessLine[]>();
    for (const line of lines) {
      const tag = TAG.exec(line.uri ?? '')?.[1];
      if (tag === undefined) continue;
      byTag.set(tag, [...(byTag.get(tag) ?? []), line]);
    }
    const isKilled = (tag: string): boolean =>
      (byTag.get(tag) ?? []).some(({ pid }) => pid !== null && this.killedPids.has(pid));
    for (const { tag, what } of this.#suspects) {
      const kind = this.#entries.get(tag)?.kind ?? 'unknown';
      if (!isKilled(tag))
        this.wrong(kind, `${tag}: ${what}; ${JSON.stringify(byTag.get(tag) ?? 'not logged')}`);
    }
    for (const [tag, { kind, ends, isCertain }] of this.#entries) {
      const logged = byTag.get(tag) ?? [];
      if (isKilled(tag)) this.tally(kind).killed += 1;
      if (logged.length > 1 || (isCertain && logged.length === 0)) {
        this.wrong(kind, `${tag}: ${String(logged.length)} lines in the access log`);
      }
      const [line] = logged;
      if (line === undefined || isKilled(tag)) continue;
      if (!(ends?.includes(line.end) ?? line.end !== 'bridge-error')) {
        this.wrong(kind, `${tag}: ended as ${line.end}, expected ${ends?.join(' or ') ?? 'otherwise'}`);
      }
    }
    for (const tag of byTag.keys()) {
      if (!this.#entries.has(tag)) this.wrong('unknown', `${tag} was logged and never asked`);
    }
  }
}
