/** The site of one script: every request runs it. */

import { dirname } from 'node:path';

import { type ByteString, toText } from '../bytes.js';
import { metaVariables } from '../cgi/meta-variables.js';
import { OptionError } from '../errors.js';
import { isExecutable, realPath, statOrAbsent } from './contain.js';
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
  const shown = toText(options.file);
  const real = await realPath(options.file);
  const unfit = (why: string): OptionError =>
    new OptionError('ERR_START', { option: 'file', value: shown, why, shown: 'script' });
  if (real === undefined) throw unfit('there is no such file');
  if ((await statOrAbsent(real))?.isFile() !== true || !(await isExecutable(real))) {
    throw unfit(`not an executable file; try chmod +x ${shown}`);
  }
  return {
    resolve: (params) =>
      Promise.resolve(
        run({
          file: options.file,
          args: options.args,
          directory: dirname(options.file),
          variables: metaVariables({ ...options, params }),
        }),
      ),
  };
}
