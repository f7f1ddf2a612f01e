/** The document responses that the bridge writes itself when a script gives none (RFC 3875 §6.2.1). */

import escapeHtml from 'escape-html';

import { documentOctets, statusText } from './document-response.js';

/**
 * A complete document response as octets: status, a page that says what happened and names the request, no caching.
 * `retryAfterSeconds` adds the field of RFC 9110 §10.2.3, `allow` that of §10.2.1. The answer to HEAD (`headOnly`) has
 * the page's length, not the page, for which HAProxy would refuse it.
 */
export function errorResponse(error: {
  readonly status: number;
  readonly reason: string;
  readonly id: string;
  readonly allow?: string;
  readonly retryAfterSeconds?: number;
  readonly headOnly?: boolean;
}): Buffer {
  const title = statusText(error.status);
  const page = `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>${title}</title></head>
<body>
<h1>${title}</h1>
<p>${escapeHtml(error.reason)}</p>
<p><small>Request ${escapeHtml(error.id)}</small></p>
</body>
</html>
`;
  const body = Buffer.from(page, 'utf8');
  return documentOctets({
    status: error.status,
    fields: [
      ['Content-Type', 'text/html; charset=utf-8'],
      ['Content-Length', String(body.length)],
      ['Cache-Control', 'no-store'],
      ...(error.allow === undefined ? [] : [['Allow', error.allow] as const]),
      ...(error.retryAfterSeconds === undefined
        ? []
        : [['Retry-After', String(error.retryAfterSeconds)] as const]),
    ],
    body: error.headOnly === true ? Buffer.alloc(0) : body,
  });
}
