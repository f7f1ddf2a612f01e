/** What the different web servers say of a request: the path of its URI, and who asks. */

import { type ByteString, type NameValues, percentDecode, valueOf } from '../base/bytes.js';
import { refuse, type Resolution } from './site.js';

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

/** Encodes a path for a URL, segment by segment. */
export function encodePath(path: ByteString): string {
  return path.split('/').map(percentEncode).join('/');
}

/** The value of a param where it is set and not empty. */
export function nonEmptyParam(params: NameValues, name: string): ByteString | undefined {
  return valueOf(params, name) || undefined;
}

/**
 * Params that hgweb, git, gitweb or a hook would know somebody by: RFC 3875's, their like in headers, what a TLS client
 * certificate says, and the names that hg would sign with. Apache keeps those of an earlier step behind REDIRECT_.
 */
const naming = [
  /^(REDIRECT_)*(HTTP_)?(X_)?(REMOTE|FORWARDED|AUTH|AUTHENTICATED)_(USER|USERNAME|IDENT|LOGIN|NAME|GROUPS?|EMAIL)$/i,
  /^(REDIRECT_)*(AUTH_TYPE|(HTTP_)?(PROXY_)?AUTHORIZATION)$/i,
  /^(REDIRECT_)*SSL_CLIENT_/i,
  /^(REDIRECT_)*(USER|USERNAME|LOGNAME|LNAME|EMAIL)$/i,
];

/** Whether a param of this name says who somebody is. */
export function saysWho(name: ByteString): boolean {
  return naming.some((pattern) => pattern.test(name));
}

/** The params of a request of nobody's. */
export function withoutUser(params: NameValues): NameValues {
  return params.filter(([name]) => !saysWho(name));
}

/** Why hg or git may well refuse a request by themselves: they know nobody; undefined where they know somebody. */
export function doubtOf(params: NameValues, isTrusted: boolean): string | undefined {
  if (!isTrusted) return 'without --trust-remote-user nobody is somebody';
  if (nonEmptyParam(params, 'REMOTE_USER') !== undefined) return undefined;
  return 'the web server sent no REMOTE_USER, so it has asked for no password';
}

/** Why nobody pushes where nobody is somebody: one line of ASCII, for people and for the status of a response. */
export const NO_PUSHES = 'nobody can push here: fcgi2cgi runs without --trust-remote-user';

/** The refusal of a push, which hg and git show to people. */
export const noPushes: Resolution = {
  kind: 'refuse',
  refusal: { status: 403, reason: NO_PUSHES, isForProgram: true },
};

/**
 * The refusal of a query that a web server may read in another way than hg and git do: it looks at `name` to know whom
 * to ask for a password. Some take the first of two, some the last, some decode it, some don't, some care for case.
 */
export function refuseUnclear(query: ByteString, name: string): Resolution | undefined {
  const nameOf = (pair: ByteString): string => percentDecode(pair.replace(/=.*$/s, '')).toLowerCase();
  const count = query.split(/[&;]/).filter((pair) => nameOf(pair) === name).length;
  const plain = new RegExp(`^${name}=[\\w.-]*$`);
  if (count === 0 || (count === 1 && query.split('&').some((pair) => plain.test(pair)))) return undefined;
  return refuse(400, `The query has ${name} twice, or ${name} or its value not in plain letters.`);
}
