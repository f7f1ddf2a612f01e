/** Files that a site shows beside what its programs print: styles, scripts and images of theirs. */

import { extname } from 'node:path';

import { type ByteString, type NameValues, toBuffer, valueOf } from '../base/bytes.js';
import type { DocumentResponse } from '../cgi/document.js';
import { contains, realPath, statOrAbsent } from './contain.js';
import { textAt } from './look-up.js';
import { later } from './steps.js';

/** What may be shown at all: a directory of such files may well have programs in it. */
const contentTypes: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.png': 'image/png',
  '.gif': 'image/gif',
  '.jpg': 'image/jpeg',
  '.svg': 'image/svg+xml',
  '.ico': 'image/x-icon',
};

const MAX_FILE_BYTES = 4_194_304;

/** How long a browser need not ask again; an upgrade is seen after that. */
const MAX_AGE_SECONDS = 3_600;

/**
 * The file `name` of a directory as an answer to a GET or HEAD, or undefined where none may be shown. The file
 * is read again each time, and tells a browser that has it so (RFC 9110 §13.1.2).
 */
export async function staticFile(
  directory: ByteString,
  name: ByteString,
  params: NameValues,
): Promise<DocumentResponse | undefined> {
  const contentType = contentTypes[extname(name)];
  const root = await realPath(directory);
  if (contentType === undefined || root === undefined || !/^[\w-][\w.-]*$/.test(name)) return undefined;
  const path = await realPath(`${root}/${name}`);
  const stats = path === undefined ? undefined : await statOrAbsent(path);
  if (path === undefined || !contains(root, path) || stats?.isFile() !== true) return undefined;
  const text = await later(textAt(path, MAX_FILE_BYTES));
  if (text === undefined) return undefined;
  const body = toBuffer(text);
  const etag = `"${stats.mtimeMs.toString(36)}-${String(body.length)}"`;
  const always = [
    ['ETag', etag],
    ['Cache-Control', `max-age=${String(MAX_AGE_SECONDS)}`],
  ] as const;
  if (isKnown(etag, valueOf(params, 'HTTP_IF_NONE_MATCH') ?? '')) {
    return { status: 304, fields: always, body: Buffer.alloc(0) };
  }
  return {
    status: 200,
    fields: [['Content-Type', contentType], ['Content-Length', String(body.length)], ...always],
    body: valueOf(params, 'REQUEST_METHOD') === 'HEAD' ? Buffer.alloc(0) : body,
  };
}

/** Whether If-None-Match has the tag, which a web server that compresses may have made a weak one. */
function isKnown(etag: string, ifNoneMatch: ByteString): boolean {
  const tags = ifNoneMatch.split(',').map((tag) => tag.trim().replace(/^W\//, ''));
  return tags.includes(etag) || tags.includes('*');
}
