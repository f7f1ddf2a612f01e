/** What a contender is: a name, the sites that it can serve, and how a process of its own is started for one. */

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import type { Place, Site, SiteName } from './sites.js';

/** One contender serving one site. */
export interface Instance {
  /** Its process and all below it are what it costs. */
  readonly pid: number;
  /** Where nginx passes requests on to. */
  readonly upstream:
    | { readonly kind: 'fastcgi'; readonly socket: string }
    | { readonly kind: 'http'; readonly url: string };
  /** For who learns from requests: has `ask` make so many of a kind, again and again, until there is no more to learn. */
  readonly settle?: (ask: () => Promise<unknown>, requests: number) => Promise<void>;
  stop(): Promise<unknown>;
}

export interface Contender {
  readonly name: string;
  /** What its process is for, what those are for that it has started, and so on. */
  readonly roles: readonly string[];
  readonly serves: (site: SiteName) => boolean;
  readonly start: (site: Site, place: Place) => Promise<Instance>;
}

/** More than the connections of any work: nobody is to wait for a place. */
export const PROCESSES = 32;
/** Of an application that lives long, as for both cores and who waits for git. */
export const WORKERS = 4;

/** A directory of the contender's own. */
export function directoryFor({ directory }: Place, name: string, site: Site): string {
  const own = join(directory, `${name.replaceAll(/\W+/g, '-')}-${site.name}`);
  mkdirSync(own);
  return own;
}
