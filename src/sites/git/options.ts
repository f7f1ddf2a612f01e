/** What a site of git repositories is told. */

import type { ByteString } from '../../base/bytes.js';
import type { SiteEnvironment } from '../site.js';

/** A git installation; all paths are absolute. */
export interface Git {
  /** The `git` program. */
  readonly git: ByteString;
  /** The CGI script `git-http-backend`. */
  readonly httpBackend: ByteString;
  /** The CGI script `gitweb.cgi`. */
  readonly gitweb: ByteString;
  /** The directory of gitweb's style, script and images. */
  readonly gitwebStatic: ByteString;
}

export interface GitSiteOptions extends SiteEnvironment {
  /** The directory of repositories, as an absolute path. */
  readonly repos: ByteString;
  /** What publishes: all that there are, each that has `git-daemon-export-ok`, or the markers of a directory. */
  readonly publishedBy: 'all' | 'export-ok' | { readonly markers: ByteString };
  /** The path that the web server serves the site under: empty, or `/git`. */
  readonly urlPrefix: ByteString;
  /** Whether the web server says who somebody is; without it nobody is, and nobody pushes. */
  readonly trustRemoteUser: boolean;
  /** The user's own settings, read after ours. */
  readonly gitwebConfig?: ByteString;
  readonly git: Git;
  /** The settings that gitweb is run with (`scripts/gitweb.conf`). */
  readonly gitwebSettings: ByteString;
}
