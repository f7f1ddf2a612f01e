/** Reads what a request says to gitweb: its project (`?p=group/name.git;a=log`), and what git must not get. */

import { type ByteString, fromBuffer, fromText } from '../../base/bytes.js';

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
