/** What every site has in common: params in, an invocation, a refusal or a small document out. */

import { type ByteString, type NameValues, toText } from '../base/bytes.js';
import type { WaitSignal } from '../base/timer.js';
import type { DocumentResponse } from '../cgi/document.js';
import type { Invocation, Refusal } from '../cgi/invocation.js';

export type Resolution =
  | { readonly kind: 'run'; readonly invocation: Invocation }
  | { readonly kind: 'refuse'; readonly refusal: Refusal }
  | { readonly kind: 'answer'; readonly answer: DocumentResponse };

/** What a request needs a slot to find out, since that takes long. */
export interface Deferred {
  readonly kind: 'defer';
  readonly resolve: (signal?: WaitSignal) => Promise<Resolution>;
}

/** Decides what a request runs, and starts nothing. Names in the params are bytes from an enemy. */
export interface Site {
  /**
   * Never rejects for what the params say, but with what `signal` aborts with; another rejection means that the bridge
   * itself is at fault.
   */
  resolve(params: NameValues, signal?: WaitSignal): Promise<Resolution | Deferred>;
}

/** What the site says, once all of it is found out. */
export async function resolveRequest(
  site: Site,
  params: NameValues,
  signal?: WaitSignal,
): Promise<Resolution> {
  const resolution = await site.resolve(params, signal);
  return checked(resolution.kind === 'defer' ? await resolution.resolve(signal) : resolution);
}

/** The same, but that what no environment can hold is refused. */
export function checked(resolution: Resolution): Resolution {
  if (resolution.kind !== 'run') return resolution;
  for (const [name, value] of resolution.invocation.variables) {
    if (value.includes('\0'))
      return refuse(400, `${toText(name)} contains a NUL byte, which no variable can hold.`);
  }
  return resolution;
}

/** The environment that a site's scripts get in addition to the params. */
export interface SiteEnvironment {
  /** What the daemon passes on: PATH, and the names of `--pass-env`. */
  readonly base: ReadonlyMap<ByteString, ByteString>;
  /** `--env NAME=VALUE`: wins over everything. */
  readonly administrator: ReadonlyMap<ByteString, ByteString>;
}

export function run(invocation: Invocation): Resolution {
  return { kind: 'run', invocation };
}

/** The refusal of a request whose web server does not say what it asks for (see `requestPath`). */
export const namesNoPath: Resolution = {
  kind: 'refuse',
  refusal: {
    status: 400,
    reason: 'The web server sent neither SCRIPT_NAME, PATH_INFO, DOCUMENT_URI nor REQUEST_URI.',
  },
};

export function refuse(status: number, reason: string, detail?: string): Resolution {
  return { kind: 'refuse', refusal: { status, reason, ...(detail === undefined ? {} : { detail }) } };
}
