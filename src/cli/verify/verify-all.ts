/** Verifies one request after the other, until all are done or somebody has seen enough. */

import type { NameValues } from '../../bytes.js';
import type { ServedSiteConfiguration } from '../../daemon/configuration.js';
import { findLimits } from '../../daemon/find-limits.js';
import { makeSite } from '../../daemon/make-site.js';
import { stopSignal } from '../../daemon/signals.js';
import { keepFromPrograms } from '../../process/inherited-descriptors.js';
import type { Data } from '../data.js';
import { BothWays } from './both-ways.js';
import { type Verdict, verify } from './verify.js';

export interface ToVerify {
  readonly served: ServedSiteConfiguration;
  readonly requests: Iterable<NameValues>;
  readonly data: Data | undefined;
  readonly repeat: number;
  /** Is given each verdict, in the order of the requests; resolves to whether another one is wanted. */
  readonly tell: (params: NameValues, verdict: Verdict) => Promise<boolean>;
}

/**
 * Resolves when no process is left; to the signal that has ended it ahead of time, SIGTERM or SIGINT, if one has.
 *
 * @throws BridgeError for what the site could not start for
 */
export async function verifyAll({
  served,
  requests,
  data,
  repeat,
  tell,
}: ToVerify): Promise<NodeJS.Signals | undefined> {
  keepFromPrograms();
  const site = await makeSite(served);
  const abort = new AbortController();
  const ways = new BothWays(served, await findLimits(served), abort.signal);
  let stoppedBy: NodeJS.Signals | undefined;
  const stop = stopSignal(() => undefined);
  void stop.received.then((signal) => {
    stoppedBy = signal;
    abort.abort();
    // Ends also what is waited for.
    return ways.close();
  });
  const isStopped = (): boolean => stoppedBy !== undefined;
  try {
    for (const params of requests) {
      const verdict = await verify(site, ways, { params, data, repeat });
      // One that was aborted says nothing.
      if (isStopped() || !(await tell(params, verdict))) break;
    }
  } finally {
    await ways.close();
    stop.dispose();
  }
  return stoppedBy;
}
