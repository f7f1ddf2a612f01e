/** Tells the requests of git's clients from those of people. */

import { type ByteString, toText } from '../../base/bytes.js';

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

/** Whether a service begins a push, or is one. */
export function isPush(rest: ByteString, query: ByteString): boolean {
  return (
    rest.endsWith('/git-receive-pack') ||
    (rest.endsWith('/info/refs') &&
      new URLSearchParams(toText(query)).getAll('service').includes('git-receive-pack'))
  );
}
