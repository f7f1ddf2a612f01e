/** Reads from a git configuration which others it includes (git-config(1), "Includes"). */

import type { ByteString } from '../../base/bytes.js';
import { trimmed } from '../contain.js';

/** What git takes for white space. */
const SPACE = ' \t\n\r';

/** A section of included files, on a line of its own. */
const section = /^\[include(?:if[ \t]+"(?:[^"\\]|\\.)*")?\]$/i;

/**
 * The paths that a configuration includes, as they stand there, whatever the condition; undefined where one is not plain:
 * it is quoted, begins in somebody's home, or stands where only git would find it.
 */
export function includedPaths(text: ByteString): readonly ByteString[] | undefined {
  if (!/\[include/i.test(text)) return [];
  const paths: ByteString[] = [];
  let isInside = false;
  for (const raw of text.split('\n')) {
    const line = trimmed(raw, SPACE);
    if (section.test(line)) isInside = true;
    else if (/\[include/i.test(line)) return undefined;
    else if (line.startsWith('[')) isInside = false;
    else if (isInside && line !== '' && !/^[#;]/.test(line)) {
      const [name = '', ...rest] = line.split('=');
      const path = trimmed(rest.join('='), SPACE);
      if (trimmed(name, SPACE).toLowerCase() !== 'path' || /["\\#;\0]|^[~%]|^$/.test(path)) return undefined;
      paths.push(path);
    }
  }
  return paths;
}
