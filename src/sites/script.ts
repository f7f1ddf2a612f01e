/** The sites of one program, which every request runs: a script, or a FastCGI application. */

import { dirname } from 'node:path';

import { type ByteString, toText } from '../base/bytes.js';
import { OptionError } from '../base/errors.js';
import { isExecutable, whyNotExecutable } from '../base/executable.js';
import { metaVariables } from '../cgi/invocation.js';
import { realPath, statOrAbsent } from './contain.js';
import { whyUnreachable } from './refusal-reason.js';
import { later } from './steps.js';
import { run, type Site, type SiteEnvironment } from './site.js';

export interface ScriptSiteOptions extends SiteEnvironment {
  /** The script, as an absolute path. */
  readonly file: ByteString;
  readonly args: readonly ByteString[];
}

/**
 * Makes the site; the script's directory becomes the working directory (RFC 3875 §7.2).
 *
 * @throws OptionError `ERR_START` if the script is no executable file now. One that goes missing later costs requests,
 * not the daemon.
 */
export async function scriptSite(options: ScriptSiteOptions): Promise<Site> {
  const { file, args } = options;
  const directory = dirname(file);
  const shown = toText(file);
  const real = await realPath(file);
  const unfit = (why: string): OptionError =>
    new OptionError('ERR_START', { option: 'file', value: shown, why, shown: 'script' });
  if (real === undefined) {
    const why = await later(whyUnreachable(file));
    throw unfit(why === `there is no ${shown}` ? 'there is no such file' : why);
  }
  const stats = await statOrAbsent(real);
  if (stats?.isFile() !== true) throw unfit('this is no file');
  if (!(await isExecutable(real))) throw unfit(whyNotExecutable(shown, stats));
  return {
    resolve: (params) => {
      const variables = metaVariables({ ...options, params });
      return Promise.resolve(run({ file, args, directory, variables }));
    },
  };
}

export interface WorkerSiteOptions extends Pick<SiteEnvironment, 'administrator'> {
  readonly command: readonly [ByteString, ...ByteString[]];
  readonly directory: ByteString;
}

/**
 * Makes the site. The params reach the application byte by byte, less those that a CGI program would not get either:
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
