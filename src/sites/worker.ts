/** The site of a FastCGI application: every request goes to it. */

import type { ByteString } from '../bytes.js';
import { metaVariables } from '../cgi/meta-variables.js';
import { run, type Site, type SiteEnvironment } from './site.js';

export interface WorkerSiteOptions extends Pick<SiteEnvironment, 'administrator'> {
  readonly command: readonly [ByteString, ...ByteString[]];
  readonly directory: ByteString;
}

/**
 * Makes the site. The params reach the application octet by octet, less those that a CGI program would not get either:
 * CGI::Fast makes its environment of them, which every program that it starts inherits. `administrator` wins over them.
 */
export function workerSite({ command, directory, administrator }: WorkerSiteOptions): Site {
  const [file, ...args] = command;
  return {
    resolve: (params) => {
      const variables = metaVariables({ base: [], params, administrator });
      // Most read no body of which they don't know the length; a web server that starts applications itself tells it.
      return Promise.resolve(run({ file, args, directory, variables, body: 'with-length' }));
    },
  };
}
