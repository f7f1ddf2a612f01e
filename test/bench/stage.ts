/** Everything that is running while it is measured: repositories, a process for each contender and site, nginx. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { reasonOf } from '../../src/base/errors.js';
import type { Contender } from './contender.js';
import { Cost } from './cost.js';
import { type Backend, startFront } from './front.js';
import { makePlace, type Place, type SiteName } from './sites.js';
import type { Work } from './works.js';

/** A contender that is to do a work. */
export interface Part {
  readonly work: Work;
  readonly contender: Contender;
}

/** A contender's process for a site, where it is asked and what it costs. */
export interface Running extends Backend {
  readonly contender: Contender;
  readonly cost: Cost;
  readonly url: string;
}

/** Owns all of it until `close` has resolved. */
export class Stage {
  readonly place: Place;
  readonly #directory: string;
  readonly #running: Running[] = [];
  readonly #stops: (() => Promise<unknown>)[] = [];

  private constructor(directory: string, place: Place) {
    this.#directory = directory;
    this.place = place;
  }

  /**
   * Makes and starts what these parts need; `bytes` is the size of transfers. Resolves when each contender has done each
   * of its works right. @throws Error that names who does not
   */
  static async open(
    parts: readonly Part[],
    bytes: number,
    signal: AbortSignal,
    onStep: (what: string) => void,
  ): Promise<Stage> {
    const directory = mkdtempSync(join(tmpdir(), 'fcgi2cgi-bench-'));
    try {
      onStep('making repositories');
      const place = await makePlace(directory, new Set(parts.map(({ work }) => work.site)), bytes);
      const stage = new Stage(directory, place);
      try {
        await stage.#start(parts, signal, onStep);
        await stage.#check(parts, signal, onStep);
        return stage;
      } catch (error) {
        await stage.close();
        throw error;
      }
    } catch (error) {
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /** Who does that part. */
  running({ work, contender }: Part): Running {
    const found = this.#running.find((each) => each.site.name === work.site && each.contender === contender);
    if (found === undefined) throw new Error(`${contender.name} does not serve ${work.site}`);
    return found;
  }

  async close(): Promise<void> {
    await Promise.all(this.#stops.splice(0).map((stop) => stop()));
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #start(parts: readonly Part[], signal: AbortSignal, onStep: (what: string) => void): Promise<void> {
    const backends: Omit<Running, 'url'>[] = [];
    const wanted = new Map(parts.map((part) => [keyOf(part.work.site, part.contender), part]));
    for (const { work, contender } of wanted.values()) {
      signal.throwIfAborted();
      onStep(`starting ${contender.name} for ${work.site}`);
      const site = this.place.sites.get(work.site);
      if (site === undefined) throw new Error(`there is no site ${work.site}`);
      const instance = await contender.start(site, this.place);
      const cost = new Cost(instance.pid);
      this.#stops.push(async () => {
        await instance.stop();
        await cost.remove();
      });
      backends.push({ site, instance, contender, cost });
    }
    const { nginx, urls } = await startFront(this.#directory, backends);
    this.#stops.push(() => nginx.stop());
    this.#running.push(...backends.map((backend, index) => ({ ...backend, url: urls[index] ?? '' })));
  }

  /** Nobody is fast by answering wrongly, nor measured while it learns. */
  async #check(parts: readonly Part[], signal: AbortSignal, onStep: (what: string) => void): Promise<void> {
    for (const part of parts) {
      signal.throwIfAborted();
      const key = `${part.work.name} by ${part.contender.name}`;
      onStep(`checking ${key}`);
      const { instance, url } = this.running(part);
      const ask = (): Promise<unknown> => part.work.check(url, this.place);
      try {
        await ask();
        await instance.settle?.(ask, part.work.requests ?? 1);
      } catch (error) {
        throw new Error(`${key}: ${reasonOf(error)}`, { cause: error });
      }
    }
  }
}

const keyOf = (site: SiteName, { name }: Contender): string => `${site} by ${name}`;
