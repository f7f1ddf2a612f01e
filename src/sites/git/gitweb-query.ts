/** Finds the project that a query of gitweb's names: `?p=group/name.git;a=log`. */

import { type ByteString, fromBuffer, fromText } from '../../bytes.js';

export interface ProjectQuery {
  /** The value of `p`, of the first where it repeats; undefined where there is none. */
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

function decode(encoded: ByteString): ByteString {
  return encoded
    .replaceAll('+', ' ')
    .replace(/%(?:([0-9a-f]{2})|u([0-9a-f]{4}))/gi, (_, octet?: string, unit?: string) =>
      octet === undefined
        ? fromText(String.fromCodePoint(parseInt(unit ?? '', 16)))
        : fromBuffer(Buffer.of(parseInt(octet, 16))),
    );
}
