/** What a web server would send for a request: its params (RFC 3875 §4.1), as nginx and lighttpd have them, and its body. */

import { createReadStream, fstatSync, openSync } from 'node:fs';
import type { Readable } from 'node:stream';

import { type ByteString, fromText, type NameValues, percentDecode } from '../../base/bytes.js';
import { userAgent } from '../../daemon/package.js';
import { OptionError, reasonOf } from '../../base/errors.js';
import { splitPathInfo } from '../../sites/directory.js';
import { later } from '../../sites/steps.js';

export interface RequestDescription {
  /** The path of the URI and its query, as a browser would send them. */
  readonly target: string;
  /** Undefined: what the body makes it. */
  readonly method?: string | undefined;
  /** `Name: value` */
  readonly headers: readonly string[];
  /** `NAME=VALUE` wins over everything; `NAME` alone takes a param away. */
  readonly params: readonly string[];
  /** Undefined without a body; `length` is undefined where nobody knows it. */
  readonly body: { readonly length: number | undefined } | undefined;
}

/** The params of a request. @throws OptionError `ERR_USAGE` for a header or param that is none. */
export async function requestParams(request: RequestDescription): Promise<NameValues> {
  const agent = userAgent();
  const given = givenParams(request.params);
  const [path = '', ...query] = fromText(request.target).split('?');
  const decoded = percentDecode(path);
  const params = new Map<ByteString, ByteString>();
  const add = (pairs: Readonly<Record<string, string | undefined>>): void => {
    for (const [name, value] of Object.entries(pairs)) if (value !== undefined) params.set(name, value);
  };
  add({
    GATEWAY_INTERFACE: 'CGI/1.1',
    SERVER_SOFTWARE: agent,
    SERVER_PROTOCOL: 'HTTP/1.1',
    SERVER_NAME: 'localhost',
    SERVER_ADDR: '127.0.0.1',
    SERVER_PORT: '80',
    REMOTE_ADDR: '127.0.0.1',
    REMOTE_PORT: '0',
    REQUEST_SCHEME: 'http',
    REQUEST_METHOD: request.method ?? (request.body === undefined ? 'GET' : 'POST'),
    REQUEST_URI: fromText(request.target),
    DOCUMENT_URI: decoded,
    QUERY_STRING: query.join('?'),
    // php-cgi runs nothing without it.
    REDIRECT_STATUS: '200',
    HTTP_HOST: given.get('SERVER_NAME') ?? 'localhost',
    HTTP_USER_AGENT: agent,
    HTTP_ACCEPT: '*/*',
    ...bodyParams(request),
  });
  add(await splitPath(decoded, given));
  for (const header of request.headers) add(headerParam(header));
  for (const [name, value] of given) {
    if (value === undefined) params.delete(name);
    else params.set(name, value);
  }
  return [...params];
}

/**
 * SCRIPT_NAME ends where it was said, or at the first file below DOCUMENT_ROOT, as lighttpd finds it; else it is the whole
 * path. DOCUMENT_ROOT says where its file is.
 */
async function splitPath(
  path: ByteString,
  given: ReadonlyMap<ByteString, ByteString | undefined>,
): Promise<Readonly<Record<string, string | undefined>>> {
  const root = given.get('DOCUMENT_ROOT');
  const scriptName = given.get('SCRIPT_NAME');
  const found = root === undefined ? undefined : await later(splitPathInfo(root, scriptName ?? path));
  const name = scriptName ?? found?.name ?? path;
  return {
    SCRIPT_NAME: name,
    PATH_INFO: name !== path && path.startsWith(name) ? path.slice(name.length) : undefined,
    SCRIPT_FILENAME: found?.file,
  };
}

function bodyParams({ body, method = 'GET' }: RequestDescription): Readonly<Record<string, string>> {
  if (body === undefined) return /^(POST|PUT|PATCH)$/.test(method) ? { CONTENT_LENGTH: '0' } : {};
  return {
    CONTENT_TYPE: 'application/x-www-form-urlencoded',
    ...(body.length === undefined ? {} : { CONTENT_LENGTH: String(body.length) }),
  };
}

/** RFC 3875 §4.1.18; the two that are no `HTTP_` variables are §4.1.2 and §4.1.3. */
function headerParam(header: string): Readonly<Record<string, string>> {
  const match = /^([!#$%&'*+.^_`|~\w-]+):[ \t]*(.*?)[ \t]*$/s.exec(header);
  if (match === null || /[\r\n\0]/.test(header)) {
    const why = 'expected a header field, as in "Accept: text/html"';
    throw new OptionError('ERR_USAGE', { option: 'header', value: header, why });
  }
  const [, name = '', value = ''] = match;
  const variable = name.toUpperCase().replaceAll('-', '_');
  const isContent = variable === 'CONTENT_TYPE' || variable === 'CONTENT_LENGTH';
  return { [isContent ? variable : `HTTP_${variable}`]: fromText(value) };
}

function givenParams(entries: readonly string[]): ReadonlyMap<ByteString, ByteString | undefined> {
  return new Map(
    entries.map((entry) => {
      const [name = '', ...value] = entry.split('=');
      if (name === '') {
        const why = 'expected NAME=VALUE, or NAME for a param that is not to be sent';
        throw new OptionError('ERR_USAGE', { option: 'param', value: entry, why });
      }
      return [fromText(name), value.length === 0 ? undefined : fromText(value.join('='))];
    }),
  );
}

export interface Data {
  /** Undefined where it ends when it ends. */
  readonly length: number | undefined;
  readonly open: () => Readable;
}

/** Opens the file, which stays open: that one is meant, whatever has its name by then. @throws OptionError `ERR_START` */
export function openData(path: string): Data {
  try {
    const fd = openSync(path, 'r');
    return { length: lengthOf(fd), open: () => createReadStream(path, { fd, start: 0, autoClose: false }) };
  } catch (error) {
    throw new OptionError('ERR_START', { option: 'data', value: path, why: reasonOf(error) });
  }
}

/** The size of a regular file; the length of anything else is not known. */
export function lengthOf(fd: number): number | undefined {
  const stats = fstatSync(fd);
  return stats.isFile() ? stats.size : undefined;
}
