/** Files that the package ships besides its code. */

import { fileURLToPath } from 'node:url';

import { type ByteString, fromText } from '../bytes.js';

/** The absolute path of a file of the package, named from its top level. */
export function shippedFile(name: string): ByteString {
  return fromText(fileURLToPath(new URL(`../../../${name}`, import.meta.url)));
}
