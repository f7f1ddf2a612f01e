/** Tells the requests of git's clients from those of people, and reads what the latter say to gitweb. */

import { type ByteString, fromBuffer, fromText, type NameValues, toText } from '../../base/bytes.js';
import { refuseUnclear, writtenPath } from '../request-path.js';
import { refuse, type Resolution } from '../site.js';

const RECEIVE_PACK = '/git-receive-pack';

/** The table of services in git's http-backend.c; its patterns end there, and here begin behind the repository. */
const services =
  /^\/+(?:HEAD|info\/refs|objects\/(?:info\/(?:alternates|http-alternates|packs)|[0-9a-f]{2}\/(?:[0-9a-f]{38}|[0-9a-f]{62})|pack\/pack-(?:[0-9a-f]{40}|[0-9a-f]{64})\.(?:pack|idx))|git-(?:upload-pack|upload-archive|receive-pack))$/;

/**
 * Whether what follows a repository in a path is one of git-http-backend's, whatever the method. Gitweb could mean
 * something by `/HEAD` only, and never links to it: its links have an action there.
 */
export function isService(rest: ByteString): boolean {
  return services.test(rest);
}

/** Whether what follows a repository in a path is one of Git LFS's. */
export function isLfs(rest: ByteString): boolean {
  return /^\/+info\/lfs(?:\/|$)/.test(rest);
}

export const noLfs = refuse(501, 'This site has no Git LFS objects; let lfs.url name a server that has.');

/** The refusal of a push, in the words of `scripts/hgweb.cgi`. */
export function mayNotWrite(detail: string): Resolution {
  const reason = 'The server may not write here';
  return { kind: 'refuse', refusal: { status: 403, reason, isForProgram: true, detail } };
}

/** The refusal of a page that is asked for in another way. */
export const notAllowed: Resolution = {
  kind: 'refuse',
  refusal: { status: 405, reason: 'Pages are asked for by GET or HEAD.', allow: 'GET, HEAD' },
};

/** Whether a service begins a push, or is one. */
export function isPush(rest: ByteString, query: ByteString): boolean {
  return (
    rest.endsWith(RECEIVE_PACK) ||
    (rest.endsWith('/info/refs') &&
      new URLSearchParams(toText(query)).getAll('service').includes('git-receive-pack'))
  );
}

/** The refusal of a service that a web server may not have seen: it looks at these to know whom to ask for a password. */
export function refusedService(
  params: NameValues,
  rest: ByteString,
  query: ByteString,
): Resolution | undefined {
  const written = writtenPath(params);
  // Web servers decode the path, but some look for the service in it before.
  if (rest.endsWith(RECEIVE_PACK) && written?.endsWith(RECEIVE_PACK) === false)
    return refuse(400, `The path does not end in ${RECEIVE_PACK} in plain letters.`);
  return refuseUnclear(query, 'service');
}

export interface ProjectQuery {
  /** The value of `p`, of the first where it repeats; undefined without one. */
  readonly project: ByteString | undefined;
  /** The query without it. */
  readonly rest: ByteString;
}

/** Reads a query as Perl's CGI.pm does, which gitweb leaves that to. */
export function projectQuery(query: ByteString): ProjectQuery {
  const pairs = query.split(/[&;]/);
  const isProject = (pair: ByteString): boolean => decode(pair.replace(/=.*$/s, '')) === 'p';
  const first = pairs.find(isProject);
  if (first === undefined) return { project: undefined, rest: query };
  return {
    project: decode(first.replace(/^[^=]*=?/, '')),
    rest: pairs.filter((pair) => !isProject(pair)).join(';'),
  };
}

/** The parameters that gitweb puts on git's command lines as they come, for revisions. */
const revisions = /^(?:h|hp|hb|hpb)$/;
/** Gitweb's own ways to show a merge. */
const mergeStyle = /^(?:-c|--cc)$/;
/** A revision that begins with a dash, right behind the repository or an action of gitweb's. */
const optionInPath = /^\/+(?:[a-z_]+\/+)?(?!(?:-c|--cc)\.\.)-/;

/**
 * Why git would take a value for an option, if it would: in a query, or in what follows the repository in the path.
 * `scripts/gitweb-checks.conf` looks again at what gitweb makes of both.
 */
export function optionForGit(query: ByteString, rest: ByteString): string | undefined {
  const names = query.split(/[&;]/).flatMap((pair) => {
    const name = decode(pair.replace(/=.*$/s, ''));
    const value = decode(pair.replace(/^[^=]*=?/, ''));
    const isOwn = name === 'hp' && mergeStyle.test(value);
    return revisions.test(name) && value.startsWith('-') && !isOwn ? [name] : [];
  });
  if (names[0] !== undefined) return `The parameter ${names[0]} begins with a dash: it names no revision.`;
  return optionInPath.test(rest) ? 'The revision in the path begins with a dash.' : undefined;
}

function decode(encoded: ByteString): ByteString {
  return encoded
    .replaceAll('+', ' ')
    .replace(/%(?:([0-9a-f]{2})|u([0-9a-f]{4}))/gi, (_, byte?: string, unit?: string) =>
      byte === undefined
        ? fromText(String.fromCodePoint(parseInt(unit ?? '', 16)))
        : fromBuffer(Buffer.of(parseInt(byte, 16))),
    );
}
