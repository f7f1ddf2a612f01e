/** Finds the path of a request's URI in what the different web servers send. */

import { type ByteString, type NameValues, percentDecode, valueOf } from '../base/bytes.js';

/**
 * The decoded path of the request: SCRIPT_NAME and PATH_INFO together, wherever the web server has cut it (RFC 3875
 * §3.3), else DOCUMENT_URI, else the path of REQUEST_URI, decoded once. Undefined where nothing of that was sent.
 */
export function requestPath(params: NameValues): ByteString | undefined {
  const path = (valueOf(params, 'SCRIPT_NAME') ?? '') + (valueOf(params, 'PATH_INFO') ?? '');
  if (path !== '') return path;
  const documentUri = valueOf(params, 'DOCUMENT_URI') ?? '';
  if (documentUri !== '') return documentUri;
  const written = writtenPath(params);
  return written === undefined ? undefined : percentDecode(written) || '/';
}

/** The path of REQUEST_URI as it was written, not decoded; undefined where nothing was sent. */
export function writtenPath(params: NameValues): ByteString | undefined {
  return nonEmptyParam(params, 'REQUEST_URI')
    ?.replace(/^https?:\/\/[^/?#]*/i, '')
    .replace(/[?#].*$/s, '');
}

/** What of a path lies below `urlPrefix`, which is empty or as `/hg`; undefined where it lies beside it. */
export function belowPrefix(path: ByteString, urlPrefix: ByteString): ByteString | undefined {
  return path === urlPrefix || path.startsWith(`${urlPrefix}/`) ? path.slice(urlPrefix.length) : undefined;
}

/** What follows the first `count` segments of a path, as it came: scripts tell `/file/tip/` from `/file/tip`. */
export function afterSegments(path: ByteString, count: number): ByteString {
  return path.replace(new RegExp(`^(?:/+[^/]+){${String(count)}}`), '');
}

/** Encodes a segment for a URL, byte by byte. */
export function percentEncode(segment: ByteString): string {
  return segment.replace(/[^A-Za-z0-9_.~-]/g, (byte) => {
    return `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
  });
}

/** The value of a param where it is set and not empty. */
export function nonEmptyParam(params: NameValues, name: string): ByteString | undefined {
  return valueOf(params, name) || undefined;
}
