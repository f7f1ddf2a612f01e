/** This package: its files that are no code, and its version. */

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { type ByteString, fromText } from '../base/bytes.js';

const pathOf = (name: string): string => fileURLToPath(new URL(`../../../${name}`, import.meta.url));

/** The absolute path of a file of the package, named from its top level. */
export function shippedFile(name: string): ByteString {
  return fromText(pathOf(name));
}

export function version(): string {
  return (JSON.parse(readFileSync(pathOf('package.json'), 'utf8')) as { version: string }).version;
}

/** How it names itself to others. */
export const userAgent = (): string => `fcgi2cgi/${version()}`;
