/** Follows what a git configuration includes: none of it may lead out. */

import { dirname } from 'node:path';

import { type ByteString, toText } from '../../base/bytes.js';
import { contains, trimmed } from '../contain.js';
import { type LookUp, lstatAt, realPathAt, textAt } from '../look-up.js';
import { whyNoText } from '../refusal-reason.js';

/** How deep git follows configurations that others include. */
const MAX_INCLUDE_DEPTH = 10;

/** A configuration may have some lines for each branch. */
const MAX_CONFIG_BYTES = 1_048_576;

/** What is wrong with the configuration of a git directory: it can't be read, or leads out of the real path `root`. */
export function* configurationFault(directory: ByteString, root: ByteString): LookUp<string | undefined> {
  const all = new Map([`${directory}/config`, `${directory}/config.worktree`].map((file) => [file, 0]));
  for (const [file, depth] of all) {
    if ((yield* lstatAt(file)) === undefined) continue;
    const text = yield* textAt(file, MAX_CONFIG_BYTES);
    if (text === undefined) return yield* whyNoText(file, MAX_CONFIG_BYTES);
    const included = includedPaths(text);
    if (typeof included === 'number')
      return `line ${String(included)} of ${toText(file)} includes others in a way that can’t be told; write a plain path without quotes or comment`;
    for (const name of depth < MAX_INCLUDE_DEPTH ? included : []) {
      const named = from(dirname(file), name);
      const real = yield* realPathAt(named);
      if (real === undefined) continue;
      if (!contains(root, real)) return `${toText(file)} leads out of --repos`;
      all.set(named, depth + 1);
    }
  }
  return undefined;
}

const SPACE = ' \t\n\r';

/** A section of included files, on a line of its own. */
const section = /^\[include(?:if[ \t]+"(?:[^"\\]|\\.)*")?\]$/i;

/**
 * The paths that a configuration includes, whatever the condition; or the number of the first line where one is not plain:
 * it is quoted, begins in somebody's home, or stands where only git would find it.
 */
function includedPaths(text: ByteString): readonly ByteString[] | number {
  if (!/\[include/i.test(text)) return [];
  const paths: ByteString[] = [];
  let isInside = false;
  for (const [index, raw] of text.split('\n').entries()) {
    const line = trimmed(raw, SPACE);
    // A comment, or the rest of a value that goes on from the line before: for git, no section begins in either.
    if (/^[#;]/.test(line)) continue;
    if (section.test(line)) isInside = true;
    else if (/\[include/i.test(line)) return index + 1;
    else if (line.startsWith('[')) isInside = false;
    else if (isInside && line !== '') {
      const [name = '', ...rest] = line.split('=');
      const path = trimmed(rest.join('='), SPACE);
      // Before 2.45, git takes a tab for a space.
      if (trimmed(name, SPACE).toLowerCase() !== 'path' || /["\\#;\0\t\r\v\f]|^[~%]|^$/.test(path))
        return index + 1;
      paths.push(path);
    }
  }
  return paths;
}

/** A path in a file, as the system takes it: relative ones begin at `directory`. */
export function from(directory: ByteString, path: ByteString): ByteString {
  return path.startsWith('/') ? path : `${directory}/${path}`;
}
