/** Bodies whose length the web server does not know, for scripts that must: taken to disk first, and counted. */

import type { Readable } from 'node:stream';

import type { Invocation, Refusal } from '../cgi/invocation.js';
import { BridgeError, systemCodeOf } from '../errors.js';
import { Spool } from '../runners/spool.js';
import { Timer } from '../timer.js';

export interface SpoolLimits {
  readonly maxSpoolBytes: number;
  /** How long the web server may send nothing; 0 for as long as it likes. */
  readonly idleTimeoutMs: number;
}

/** Whether the invocation's body has to be counted before it can run. */
export function lacksLength(invocation: Invocation): boolean {
  // Web servers send it empty where they don't know it, as nginx does with `fastcgi_request_buffering off`.
  return invocation.body === 'with-length' && (invocation.variables.get('CONTENT_LENGTH') ?? '') === '';
}

/** The invocation for a body that was counted. */
export function withCountedBody(invocation: Invocation, body: Spool): Invocation {
  const length = ['CONTENT_LENGTH', String(body.bytes)] as const;
  return { ...invocation, variables: new Map([...invocation.variables, length]) };
}

/**
 * Takes the whole of `source`; the caller closes what it gets. Where it fails, nothing is left and the rest of `source`
 * is thrown away.
 *
 * @throws BridgeError `ERR_MAX_SPOOL_SIZE`, `ERR_BODY_TIMEOUT`, `ERR_SPOOL`; what `source` is destroyed with.
 */
export async function countBody(source: Readable, limits: SpoolLimits): Promise<Spool> {
  const spool = await Spool.open(limits.maxSpoolBytes);
  const idle = new Timer(limits.idleTimeoutMs, () => {
    const reason = `nothing of the request’s body came for ${String(limits.idleTimeoutMs)} ms (--idle-timeout)`;
    source.destroy(new BridgeError('ERR_BODY_TIMEOUT', reason));
  });
  const goOn = (): true => {
    idle.putOff();
    return true;
  };
  idle.start();
  try {
    if ((await spool.fill(source, goOn)) === 'all') return spool;
    const reason = `the request’s body has no length and is larger than --max-spool-size allows (${String(limits.maxSpoolBytes)} octets)`;
    throw new BridgeError('ERR_MAX_SPOOL_SIZE', reason);
  } catch (error) {
    source.destroy();
    await spool.close();
    throw error;
  } finally {
    idle.stop();
  }
}

/** What to say of a body that could not be counted. */
export function whyNotCounted(error: BridgeError): Refusal {
  switch (error.code) {
    case 'ERR_MAX_SPOOL_SIZE':
      return {
        status: 413,
        reason:
          'The request’s body is larger than it may be when its length is not known beforehand (--max-spool-size).',
      };
    case 'ERR_BODY_TIMEOUT':
      return { status: 408, reason: 'Nothing of the request’s body came for too long (--idle-timeout).' };
    default: {
      const isFull = ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(systemCodeOf(error.cause) ?? '');
      return {
        status: isFull ? 507 : 500,
        reason: 'The server could not keep the request’s body; its log has the reason.',
      };
    }
  }
}
