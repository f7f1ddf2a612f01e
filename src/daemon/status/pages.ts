/** Pages that the bridge answers by itself, at paths that the administrator has chosen: no place, no process. */

import { type ByteString, type NameValues, toText, valueOf } from '../../base/bytes.js';
import { type DocumentResponse, page } from '../../cgi/document.js';
import { statusHtml } from '../../observe/status/html.js';
import { statusJson } from '../../observe/status/status.js';
import { contentSecurityPolicy } from '../../observe/status/markup.js';
import { statusText } from '../../observe/status/text.js';
import { requestPath, writtenPath } from '../../sites/request-path.js';
import type { ServedSiteConfiguration } from '../configuration.js';
import type { StatusCollector } from './collector.js';

/** The answer to a request with these params, if the bridge itself has one. */
export type OwnPage = (params: NameValues) => Promise<DocumentResponse> | undefined;

/** What is seen at these paths; `collector` is there where the first of them is. Undefined where there are none. */
export function ownPage(
  { statusPath, healthPath }: Pick<ServedSiteConfiguration, 'statusPath' | 'healthPath'>,
  isAccepting: () => boolean,
  collector: StatusCollector | undefined,
): OwnPage | undefined {
  if (statusPath === undefined && healthPath === undefined) return undefined;
  return (params) => {
    const path = requestPath(params);
    if (path === undefined) return undefined;
    if (path === healthPath) {
      // For a proxy that shares out requests among several daemons.
      const health = isAccepting() ? plain(200, 'accepting\n') : plain(503, 'draining\n');
      return Promise.resolve(asked(params) ?? health);
    }
    if (path !== statusPath || collector === undefined || isHidden(params, path)) return undefined;
    return Promise.resolve(asked(params) ?? statusPage(params, collector));
  };
}

/** Whether a web server may not have seen the path: some look at it, to know whom to keep from there, before they decode it. */
function isHidden(params: NameValues, path: ByteString): boolean {
  const written = writtenPath(params) ?? '';
  return written.includes('%') && !written.endsWith(path) && !written.endsWith(encodeURI(toText(path)));
}

function asked(params: NameValues): DocumentResponse | undefined {
  const method = valueOf(params, 'REQUEST_METHOD') ?? '';
  if (method === 'GET' || method === 'HEAD') return undefined;
  return plain(405, 'this page is asked for by GET or HEAD\n', [['Allow', 'GET, HEAD']]);
}

/** The status in the form that is asked for by `?format=`, else by what the Accept field says. */
export async function statusPage(params: NameValues, collector: StatusCollector): Promise<DocumentResponse> {
  const query = new URLSearchParams(toText(valueOf(params, 'QUERY_STRING') ?? ''));
  const format = query.get('format') ?? acceptedFormat(valueOf(params, 'HTTP_ACCEPT') ?? '');
  switch (format) {
    case 'html': {
      const html = statusHtml(await collector.status(), refreshSeconds(query.get('refresh')));
      return typed('text/html; charset=utf-8', html, [
        ['Content-Security-Policy', contentSecurityPolicy],
        ['Referrer-Policy', 'no-referrer'],
      ]);
    }
    case 'json':
      return typed('application/json', statusJson(await collector.status()));
    case 'prometheus': {
      const { contentType, text } = await collector.prometheus();
      return typed(contentType, text);
    }
    case 'text':
      return plain(200, statusText(await collector.status()));
    default:
      return plain(404, 'there is no such format; expected html, text, json or prometheus\n');
  }
}

/** Browsers get HTML, Prometheus its own; a client that takes anything, such as curl, gets text. */
function acceptedFormat(accept: ByteString): string {
  if (/\btext\/html\b/.test(accept)) return 'html';
  if (/\bapplication\/json\b/.test(accept)) return 'json';
  return /\bapplication\/openmetrics-text\b|\bversion=0\.0\.4\b/.test(accept) ? 'prometheus' : 'text';
}

function refreshSeconds(given: string | null): number | undefined {
  return given !== null && /^[1-9]\d{0,3}$/.test(given) ? Number(given) : undefined;
}

/** Browsers take it for nothing but what its type says. */
function typed(contentType: string, text: string, fields: DocumentResponse['fields'] = []): DocumentResponse {
  return page(200, contentType, text, [...fields, ['X-Content-Type-Options', 'nosniff']]);
}

export function plain(
  status: number,
  text: string,
  fields: DocumentResponse['fields'] = [],
): DocumentResponse {
  return { ...typed('text/plain; charset=utf-8', text, fields), status };
}
