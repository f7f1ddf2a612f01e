/** Document responses that the bridge gives by itself (RFC 3875 §6.2.1). */

import { createRequire } from 'node:module';

import escapeHtml from 'escape-html';

import type { Refusal } from './invocation.js';

export interface DocumentResponse {
  readonly status: number;
  /** The status's phrase, of ASCII; its usual one by default. */
  readonly phrase?: string;
  /** All fields but `Status`; bytes of ISO 8859-1, no line ends. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
}

/** An import would have each start load all of HTTP. */
const requireLate = createRequire(import.meta.url);

/** The name of a status as people read it: `404 Not Found`. */
export function statusText(status: number): string {
  const { STATUS_CODES } = requireLate('node:http') as typeof import('node:http');
  return `${String(status)} ${STATUS_CODES[status] ?? 'Error'}`;
}

/** The response as bytes of a script's output; to HEAD (`headOnly`) it has the length of its body, not the body. */
export function documentBytes(
  { status, phrase, fields, body }: DocumentResponse,
  { headOnly = false } = {},
): Buffer {
  const statusLine = `Status: ${phrase === undefined ? statusText(status) : `${String(status)} ${phrase}`}`;
  const lines = [statusLine, ...fields.map(([name, value]) => `${name}: ${value}`)];
  const header = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
  return headOnly ? header : Buffer.concat([header, body]);
}

/** A page of the bridge's own: with its length, and not to be kept by anybody. */
export function page(
  status: number,
  contentType: string,
  text: string,
  fields: DocumentResponse['fields'] = [],
): DocumentResponse {
  const body = Buffer.from(text);
  return {
    status,
    fields: [
      ['Content-Type', contentType],
      ['Content-Length', String(body.length)],
      ['Cache-Control', 'no-store'],
      ...fields,
    ],
    body,
  };
}

/** Readable on a telephone, and in the dark: browsers choose the colours. */
const STYLE =
  'body{font:1.1em/1.5 system-ui,sans-serif;margin:0}main{max-width:36em;margin:15vh auto;padding:0 1em}h1{font-size:1.4em}small{opacity:.7}';

/** For visitors, to whom the reason of a failure means little. */
const ADVICE =
  '<p>Please try again later. If that does not help, tell the people who run this site the number below.</p>\n';

/**
 * The page that says why there is no other response, and names the request. `retryAfterSeconds` adds the field of RFC 9110
 * §10.2.3, `allow` that of §10.2.1. A program (`isForProgram`) gets the reason as the status's phrase, which hg shows, and
 * as text, which git shows.
 */
export function errorPage({
  status,
  reason,
  id,
  allow,
  retryAfterSeconds,
  isForProgram,
  index,
}: Refusal & { readonly id: string; readonly retryAfterSeconds?: number }): DocumentResponse {
  const fields = [
    ...(allow === undefined ? [] : [['Allow', allow] as const]),
    ...(retryAfterSeconds === undefined ? [] : [['Retry-After', String(retryAfterSeconds)] as const]),
  ];
  if (isForProgram === true) {
    const text = page(status, 'text/plain', `${reason}\nRequest ${id}\n`, fields);
    return { ...text, phrase: reason.replace(/[^ -~]/g, '?') };
  }
  const title = statusText(status);
  const hasFailed = status >= 500 && retryAfterSeconds === undefined;
  const html = `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark"><title>${title}</title>
<style>${STYLE}</style></head>
<body><main>
<h1>${title}</h1>
<p>${escapeHtml(reason)}</p>
${hasFailed ? ADVICE : ''}${index === undefined ? '' : `<p><a href="${escapeHtml(index)}">All repositories</a></p>\n`}<p><small>Request ${escapeHtml(id)}</small></p>
</main></body>
</html>
`;
  return page(status, 'text/html; charset=utf-8', html, fields);
}
