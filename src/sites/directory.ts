/** The site of directories of scripts: runs the one that the web server names, if it lies inside (as fcgiwrap does). */

import { dirname } from 'node:path';

import { type ByteString, type NameValues, toText, valueOf } from '../base/bytes.js';
import { metaVariables } from '../cgi/invocation.js';
import { contains, namedDirectory, safeSegments, whyUnfit } from './contain.js';
import { type LookUp, realPathAt, statAt } from './look-up.js';
import { whyUnreachable } from './refusal-reason.js';
import { nonEmptyParam } from './request-path.js';
import { refuse, run, type Site, type SiteEnvironment } from './site.js';
import { byThreads, stepsBelow } from './steps.js';
import { Threads } from '../base/threads.js';

export interface DirectorySiteOptions extends SiteEnvironment {
  /** The directories, as absolute paths. A link in one may lead into another one. */
  readonly roots: readonly ByteString[];
}

/** A script as the params name it: its file, and what of the URI's path lies behind it, where that had to be found. */
interface Named {
  readonly file: ByteString;
  readonly set: NameValues;
}

/** Makes the site. @throws OptionError `ERR_START` if one of `roots` is no directory. */
export async function directorySite(options: DirectorySiteOptions): Promise<Site> {
  const roots = await Promise.all(options.roots.map((root) => namedDirectory('root', root)));
  const threads = new Threads();
  // What the web server names may lie anywhere.
  const take = byThreads(threads);
  const takeInside = await stepsBelow(roots, threads);
  return {
    resolve: async (params, signal) => {
      const named = await take(nameScript(params), signal);
      if (typeof named === 'string') return refuse(404, named);
      const { file, set } = named;
      const shown = toText(file);
      if (file.includes('\0')) return refuse(404, 'The script’s name contains a NUL byte.');
      const real = await take(realPathAt(file), signal);
      if (real === undefined) {
        const why = await take(whyUnreachable(file), signal);
        const detail = why === `there is no ${shown}` ? `${shown} does not exist` : why;
        return refuse(404, 'There is no such script.', detail);
      }
      if (!roots.some((root) => contains(root, real))) {
        const where = real === file ? shown : `${shown} leads to ${toText(real)}, which`;
        return refuse(403, 'The script is not one that may run here.', `${where} lies outside --root`);
      }
      const unfit = await takeInside(whyUnfit(real), signal);
      if (unfit !== undefined) return refuse(403, ...unfit);
      return run({
        file: real,
        args: [],
        directory: dirname(real),
        variables: metaVariables({ ...options, params, site: set }),
      });
    },
  };
}

/** The script that the params name, or why they name none. */
function* nameScript(params: NameValues): LookUp<Named | string> {
  const filename = nonEmptyParam(params, 'SCRIPT_FILENAME');
  if (filename !== undefined) {
    // Apache's mod_proxy_fcgi puts the address of the proxy before the path.
    const file = filename.replace(/^proxy:(?:unix:[^|]*\|)?fcgi:\/\/[^/]*/, '');
    return { file, set: file === filename ? [] : [['SCRIPT_FILENAME', file]] };
  }
  const documentRoot = valueOf(params, 'DOCUMENT_ROOT');
  const scriptName = nonEmptyParam(params, 'SCRIPT_NAME');
  if (documentRoot === undefined || scriptName === undefined) {
    return 'The web server sent neither SCRIPT_FILENAME nor DOCUMENT_ROOT and SCRIPT_NAME.';
  }
  if (safeSegments(scriptName) === undefined) return 'The path is not one that a script can have.';
  const { file, name, pathInfo } = yield* splitPathInfo(documentRoot, scriptName);
  if (pathInfo === '') return { file, set: [] };
  return {
    file,
    set: [
      ['SCRIPT_NAME', name],
      ['PATH_INFO', pathInfo + (valueOf(params, 'PATH_INFO') ?? '')],
      ['SCRIPT_FILENAME', file],
    ],
  };
}

/**
 * Finds where in the URI's path the script ends and PATH_INFO begins (RFC 3875 §4.1.5): at the first file, and without
 * one at the path's end. The document root may end with a slash, and the path may begin without one.
 */
export function* splitPathInfo(
  documentRoot: ByteString,
  path: ByteString,
): LookUp<{ readonly file: ByteString; readonly name: ByteString; readonly pathInfo: ByteString }> {
  const root = documentRoot.endsWith('/') ? documentRoot.slice(0, -1) : documentRoot;
  const below = path.startsWith('/') ? root : `${root}/`;
  for (let end = path.indexOf('/', 1); end !== -1; end = path.indexOf('/', end + 1)) {
    // Of ten thousand slashes in a row only the first is worth a question.
    if (path[end - 1] === '/') continue;
    const file = below + path.slice(0, end);
    const found = yield* statAt(file);
    if (found === undefined) break;
    if (!found.isDirectory()) return { file, name: path.slice(0, end), pathInfo: path.slice(end) };
  }
  return { file: below + path, name: path, pathInfo: '' };
}
