/** The document responses that the bridge writes itself when a script gives none (RFC 3875 §6.2.1). */

import { STATUS_CODES } from 'node:http';

import escapeHtml from 'escape-html';

/**
 * A complete document response as octets: status, a page that says what happened and names the request, no caching.
 * `retryAfterSeconds` adds the field of RFC 9110 §10.2.3. The answer to HEAD (`headOnly`) has the page's length, not the
 * page, for which HAProxy would refuse it.
 */
export function errorResponse(error: {
  readonly status: number;
  readonly reason: string;
  readonly id: string;
  readonly retryAfterSeconds?: number;
  readonly headOnly?: boolean;
}): Buffer {
  const title = `${String(error.status)} ${STATUS_CODES[error.status] ?? 'Error'}`;
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
  const fields = [
    `Status: ${title}`,
    'Content-Type: text/html; charset=utf-8',
    `Content-Length: ${String(Buffer.byteLength(page))}`,
    'Cache-Control: no-store',
    ...(error.retryAfterSeconds === undefined ? [] : [`Retry-After: ${String(error.retryAfterSeconds)}`]),
  ];
  return Buffer.from(`${fields.join('\r\n')}\r\n\r\n${error.headOnly === true ? '' : page}`, 'utf8');
}
