/** Reads which requests to verify: paths, or the lines of a log that has them. */

import { readFileSync } from 'node:fs';

import { OptionError, reasonOf } from '../../errors.js';

export interface WantedRequest {
  /** Undefined where nothing says which. */
  readonly method: string | undefined;
  /** The path of the URI and its query. */
  readonly target: string;
}

export interface WantedRequests {
  /** Each once, in their order. */
  readonly requests: readonly WantedRequest[];
  /** How many lines were left out, by why. */
  readonly leftOut: ReadonlyMap<string, number>;
}

/** What may be asked more than once and changes nothing (RFC 9110 §9.2.1). */
const safeMethods: readonly string[] = ['GET', 'HEAD'];

/** A line of the common or combined format, which most web servers write. */
const ofWebServer = /"([A-Z]+) (\S+) HTTP\/[\d.]+"/;

/**
 * The requests of a file that has one a line: a path, a method and a path, or what an access log says of it, ours in
 * either form or a web server's. Of a log, what is not GET or HEAD, was cut, or is another site's than `site` is left
 * out. Empty lines and those that begin with `#` mean nothing.
 *
 * @throws OptionError `ERR_START`, `ERR_USAGE`
 */
export function readRequests(path: string, site: string | undefined): WantedRequests {
  const requests = new Map<string, WantedRequest>();
  const leftOut = new Map<string, number>();
  for (const [index, line] of textOf(path).split('\n').entries()) {
    if (/^\s*(#|$)/.test(line)) continue;
    const read = readLine(line.trim(), site);
    if (read === undefined) {
      const why = `line ${String(index + 1)} is neither a path nor a line of an access log`;
      throw new OptionError('ERR_USAGE', { option: 'requests', value: path, why });
    }
    if ('leftOut' in read) leftOut.set(read.leftOut, (leftOut.get(read.leftOut) ?? 0) + 1);
    else requests.set(`${read.method ?? ''} ${read.target}`, read);
  }
  return { requests: [...requests.values()], leftOut };
}

function textOf(path: string): string {
  try {
    return readFileSync(path === '-' ? 0 : path, 'utf8');
  } catch (error) {
    throw new OptionError('ERR_START', { option: 'requests', value: path, why: reasonOf(error) });
  }
}

type Line = WantedRequest | { readonly leftOut: string } | undefined;

function readLine(line: string, site: string | undefined): Line {
  if (line.startsWith('/')) return { method: undefined, target: line };
  const [, method, target] = /^(GET|HEAD) (\/.*)$/.exec(line) ?? [];
  if (target !== undefined) return { method, target };
  if (line.startsWith('{')) return fromJson(line, site);
  if (/^\d{4}-\d\d-\d\dT\S+Z /.test(line)) return fromText(line, site);
  const [, sent, uri] = ofWebServer.exec(line) ?? [];
  return sent === undefined || uri === undefined ? undefined : logged(sent, uri, undefined, site);
}

/** Our access log with `--log-format json`. */
function fromJson(line: string, site: string | undefined): Line {
  let fields: Readonly<Record<string, unknown>>;
  try {
    fields = JSON.parse(line) as Readonly<Record<string, unknown>>;
  } catch {
    return undefined;
  }
  if (!('method' in fields && 'uri' in fields)) return undefined;
  const text = (name: string): string | undefined =>
    typeof fields[name] === 'string' ? fields[name] : undefined;
  return logged(text('method'), text('uri'), text('site'), site);
}

/** Our access log with `--log-format text`. */
function fromText(line: string, site: string | undefined): Line {
  const [, , , method, uri, ...more] = line.split(' ').map(unquoted);
  return more.length < 6 ? undefined : logged(method, uri, more.at(-1), site);
}

/** A field of it; undefined where it is not known. */
function unquoted(field: string): string | undefined {
  if (!field.startsWith('"')) return field === '-' ? undefined : field;
  try {
    return String(JSON.parse(field));
  } catch {
    return undefined;
  }
}

function logged(
  method: string | undefined,
  uri: string | undefined,
  itsSite: string | undefined,
  site: string | undefined,
): Line {
  if (site !== undefined && itsSite !== undefined && itsSite !== site) return { leftOut: 'of other sites' };
  if (method === undefined || uri?.startsWith('/') !== true) return { leftOut: 'without a path' };
  if (!safeMethods.includes(method)) return { leftOut: 'neither GET nor HEAD' };
  return uri.endsWith('…') ? { leftOut: 'cut by the log' } : { method, target: uri };
}
