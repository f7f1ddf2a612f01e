/** The site of a directory of scripts: runs the one that the web server names, if it lies inside (as fcgiwrap does). */

import { dirname } from 'node:path';

import { type ByteString, type NameValues, toText } from '../bytes.js';
import { metaVariables } from '../cgi/meta-variables.js';
import { OptionError } from '../errors.js';
import { contains, realPath, safeSegments, statOrAbsent, whyUnfit } from './contain.js';
import { nonEmptyParam } from './request-path.js';
import { refuse, type Resolution, run, type Site, type SiteEnvironment } from './site.js';

export interface DirectorySiteOptions extends SiteEnvironment {
  /** The directory, as an absolute path. */
  readonly root: ByteString;
}

/** A script as the params name it: its file, and what of the URI's path lies behind it, where that had to be found. */
interface Named {
  readonly file: ByteString;
  readonly set: NameValues;
}

/** Makes the site. @throws OptionError `ERR_START` if `root` is no directory. */
export async function directorySite(options: DirectorySiteOptions): Promise<Site> {
  const root = await realPath(options.root);
  if (root === undefined || (await statOrAbsent(root))?.isDirectory() !== true) {
    const value = toText(options.root);
    throw new OptionError('ERR_START', { option: 'root', value, why: 'there is no such directory' });
  }
  return {
    resolve: async (params) => {
      const named = await nameScript(params);
      if (typeof named === 'string') return refuse(404, named);
      const { file, set } = named;
      const shown = toText(file);
      if (file.includes('\0')) return refuse(404, 'The script’s name contains a NUL octet.');
      const real = await realPath(file);
      if (real === undefined) return refuse(404, 'There is no such script.', `${shown} does not exist`);
      if (!contains(root, real)) {
        return refuse(403, 'The script is not one that may run here.', `${shown} lies outside --root`);
      }
      return (
        refuseUnfit(real, shown) ??
        run({
          file: real,
          args: [],
          directory: dirname(real),
          variables: metaVariables({ ...options, params, site: set }),
        })
      );
    },
  };
}

function refuseUnfit(real: ByteString, shown: string): Resolution | undefined {
  switch (whyUnfit(real)) {
    case 'no-file':
      return refuse(403, 'The script is not a regular file.', `${shown} is not a regular file`);
    case 'not-executable':
      return refuse(403, 'The script is not executable.', `${shown} is not executable; try chmod +x`);
    case undefined:
      return undefined;
  }
}

/** The script that the params name, or why they name none. */
async function nameScript(params: NameValues): Promise<Named | string> {
  const filename = nonEmptyParam(params, 'SCRIPT_FILENAME');
  if (filename !== undefined) {
    // Apache's mod_proxy_fcgi puts the address of the proxy before the path.
    const file = filename.replace(/^proxy:(?:unix:[^|]*\|)?fcgi:\/\/[^/]*/, '');
    return { file, set: file === filename ? [] : [['SCRIPT_FILENAME', file]] };
  }
  const documentRoot = nonEmptyParam(params, 'DOCUMENT_ROOT');
  const scriptName = nonEmptyParam(params, 'SCRIPT_NAME');
  if (documentRoot === undefined || scriptName === undefined) {
    return 'The web server sent neither SCRIPT_FILENAME nor DOCUMENT_ROOT and SCRIPT_NAME.';
  }
  if (safeSegments(scriptName) === undefined) return 'The path is not one that a script can have.';
  return splitPathInfo(
    documentRoot.replace(/\/+$/, ''),
    scriptName,
    nonEmptyParam(params, 'PATH_INFO') ?? '',
  );
}

/** Finds where in the URI's path the script ends and PATH_INFO begins (RFC 3875 §4.1.5): at the first file. */
async function splitPathInfo(
  documentRoot: ByteString,
  scriptName: ByteString,
  rest: ByteString,
): Promise<Named> {
  const whole = { file: documentRoot + scriptName, set: [] };
  for (let end = scriptName.indexOf('/', 1); end !== -1; end = scriptName.indexOf('/', end + 1)) {
    const name = scriptName.slice(0, end);
    const file = documentRoot + name;
    const found = await statOrAbsent(file);
    if (found === undefined) return whole;
    if (found.isDirectory()) continue;
    return {
      file,
      set: [
        ['SCRIPT_NAME', name],
        ['PATH_INFO', scriptName.slice(end) + rest],
        ['SCRIPT_FILENAME', file],
      ],
    };
  }
  return whole;
}
