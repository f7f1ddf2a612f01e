/** Which fcgi2cgi this is. */

import { readFileSync } from 'node:fs';

import { shippedFile } from './shipped.js';

export function version(): string {
  const file = Buffer.from(shippedFile('package.json'), 'latin1');
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

/** How it names itself to others. */
export const userAgent = (): string => `fcgi2cgi/${version()}`;
