/** Tells the requests of git's clients from those of people. */

import { type ByteString, type NameValues, toText } from '../../base/bytes.js';
import { refuseUnclear } from '../remote-user.js';
import { nonEmptyParam } from '../request-path.js';
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
  const uri = nonEmptyParam(params, 'REQUEST_URI')?.replace(/[?#].*$/s, '');
  // Web servers decode the path, but some look for the service in it before.
  if (rest.endsWith(RECEIVE_PACK) && uri?.endsWith(RECEIVE_PACK) === false)
    return refuse(400, `The path does not end in ${RECEIVE_PACK} in plain letters.`);
  return refuseUnclear(query, 'service');
}
