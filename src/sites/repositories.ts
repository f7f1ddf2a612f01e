/** What the sites of Mercurial's and of git's repositories have in common. */

import { type ByteString, toBuffer, toText } from '../base/bytes.js';
import { encodePath } from './request-path.js';
import { type Deferred, refuse, type Resolution } from './site.js';

/** A repository that nobody may see, nor what lies inside it; and the reason, for the administrator. */
export interface Withheld {
  readonly why: string;
}

/** A repository: the real path of what is to be served, unless it must not be. */
export type Repository = { readonly path: ByteString } | Withheld;

/** A repository and where it stands in the URL space. */
export interface Published {
  /** The URL's path below the site, as segments; with markers the last one ends in the suffix. */
  readonly segments: readonly ByteString[];
  /** The real path of what is served. */
  readonly repository: ByteString;
}

/** A published repository, and what of a path lies behind it. */
export interface Found {
  readonly published: Published;
  readonly rest: readonly ByteString[];
}

/** The same to strangers, whatever it is; the administrator learns why. */
export function withheld({ why }: Withheld): Resolution {
  return refuse(404, 'No repository is published at this address.', why);
}

/** The resolution, and where it is that nothing is published the way to the list of what is. */
export function withIndex(found: Resolution | Deferred, urlPrefix: ByteString): Resolution | Deferred {
  const shown = (resolution: Resolution): Resolution => {
    if (resolution.kind !== 'refuse' || resolution.refusal.status !== 404) return resolution;
    return { ...resolution, refusal: { ...resolution.refusal, index: `${encodePath(urlPrefix)}/` } };
  };
  if (found.kind !== 'defer') return shown(found);
  return { kind: 'defer', resolve: async (signal) => shown(await found.resolve(signal)) };
}

/** The path is one that a site of that prefix has nothing at. */
export function notBelow(urlPrefix: ByteString): Resolution {
  const where = urlPrefix === '' ? 'does not begin with /' : `is not below --url-prefix ${toText(urlPrefix)}`;
  return withheld({ why: `the path ${where}, or has a NUL, . or .. in it` });
}

/** What tells a program which repositories there are. */
export function inputOf(published: readonly Published[]): Buffer {
  return toBuffer(
    published.map(({ segments, repository }) => `${segments.join('/')}\0${repository}\0`).join(''),
  );
}
