/** Bodies whose length the web server does not know, for scripts that must: taken in first, and counted. */

import type { Invocation, Refusal } from '../cgi/invocation.js';
import { BridgeError, systemCodeOf } from '../errors.js';
import type { RequestBody } from '../runners/request-body.js';
import { Timer } from '../timer.js';

/** Whether the invocation's body has to be counted before it can run. */
export function lacksLength(invocation: Invocation): boolean {
  // Web servers send it empty where they don't know it, as nginx does with `fastcgi_request_buffering off`.
  return invocation.body === 'with-length' && (invocation.variables.get('CONTENT_LENGTH') ?? '') === '';
}

/** The invocation for a body that was counted. */
export function withLength(invocation: Invocation, bytes: number): Invocation {
  const length = ['CONTENT_LENGTH', String(bytes)] as const;
  return { ...invocation, variables: new Map([...invocation.variables, length]) };
}

/**
 * Takes the whole body in, and resolves to its length. The web server may send nothing of it for `idleTimeoutMs`, or
 * with 0 for as long as it likes.
 *
 * @throws BridgeError `ERR_MAX_SPOOL_SIZE`, `ERR_BODY_TIMEOUT`, `ERR_SPOOL`; what the body is destroyed with.
 */
export async function countBody(body: RequestBody, idleTimeoutMs: number): Promise<number> {
  const idle = new Timer(idleTimeoutMs, () => {
    const reason = `nothing of the request’s body came for ${String(idleTimeoutMs)} ms (--idle-timeout)`;
    body.destroy(new BridgeError('ERR_BODY_TIMEOUT', reason));
  });
  const putOff = (): void => {
    idle.putOff();
  };
  idle.start();
  body.on('arrival', putOff);
  try {
    return await body.whole();
  } finally {
    body.off('arrival', putOff);
    idle.stop();
  }
}

/** What to say of a body that could not be taken in. */
export function whyNotTaken(error: BridgeError): Refusal {
  switch (error.code) {
    case 'ERR_MAX_SPOOL_SIZE':
      return {
        status: 413,
        reason: 'More of the request’s body had to be kept than may be (--max-spool-size).',
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
