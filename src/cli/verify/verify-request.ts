/** Which requests are verified: paths, or the lines of a log; and whether one is answered alike both runners. */

import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';

import type { NameValues } from '../../base/bytes.js';
import { OptionError, reasonOf } from '../../base/errors.js';
import { lacksLength, withLength } from '../../cgi/invocation.js';
import { resolveRequest, type Site } from '../../sites/site.js';
import type { Data } from '../get/request-params.js';
import { type Difference, differences, repetitions, variations } from './differences.js';
import type { RecordedResponse, Run, RunnerPair } from './runner-pair.js';

export interface WantedRequest {
  /** Undefined where nothing says which. */
  readonly method: string | undefined;
  readonly target: string;
}

/** What may be asked more than once and changes nothing (RFC 9110 §9.2.1). */
const safeMethods: readonly string[] = ['GET', 'HEAD'];

/** A line of the common or combined format, which most web servers write. */
const ofWebServer = /"([A-Z]+) (\S+) HTTP\/[\d.]+"/;

/**
 * The requests of a file that has one a line: a path, a method and a path, or what an access log says of it, ours in
 * either form or a web server's. Of a log, what is not GET or HEAD, was cut, or is another site's than `site` is left
 * out, and counted by why. Empty lines and those that begin with `#` mean nothing.
 *
 * @throws OptionError `ERR_START`, `ERR_USAGE`
 */
export function readRequests(path: string, site: string | undefined) {
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

/** New processes that a request is run in: two at first, and further ones before a difference is believed. */
const FIRST_SPAWNS = 2;
const MAX_SPAWNS = 5;
/** How often a request is run once more since its fork server was replaced by one that has learned. */
const MAX_LESSONS = 4;
/** Runs each way, in turns, where new processes differ among themselves: then warm ones have to. */
const TURNS = 4;

export type Verdict =
  | {
      readonly kind: 'same' | 'differs';
      /** By a new process. */
      readonly status: number;
      readonly bytes: number;
      /** How often it was run by a process of a fork server. */
      readonly warmRuns: number;
      /** What is not the same in new processes either. */
      readonly varies: readonly string[];
      readonly differences: readonly Difference[];
    }
  /** No process can be forked for it, though it is a Python or Perl script; or it is another program. */
  | { readonly kind: 'not-warm' | 'never-warm'; readonly reason: string }
  /** The site has the answer itself, or refuses it. */
  | { readonly kind: 'no-program'; readonly status: number };

/** Answers the request both runners, warm `repeat` times at least. */
export async function verifyRequest(
  site: Site,
  runners: RunnerPair,
  { params, data, repeat }: { params: NameValues; data: Data | undefined; repeat: number },
): Promise<Verdict> {
  const resolution = await resolveRequest(site, params);
  if (resolution.kind === 'refuse') return { kind: 'no-program', status: resolution.refusal.status };
  if (resolution.kind === 'answer') return { kind: 'no-program', status: resolution.answer.status };
  const { invocation } = resolution;
  const run: Run = {
    params,
    invocation: lacksLength(invocation) ? withLength(invocation, data?.length ?? 0) : invocation,
    openBody: () => data?.open() ?? Readable.from([]),
  };
  const prepared = await runners.prepare(run);
  if (prepared.kind !== 'warm') {
    return { kind: prepared.kind === 'unfit' ? 'not-warm' : 'never-warm', reason: prepared.reason };
  }
  const spawned: RecordedResponse[] = [];
  while (spawned.length < FIRST_SPAWNS) spawned.push(await runners.spawn(run));
  let server = prepared.pid;
  let found: readonly Difference[] = [];
  let [warmRuns, lessons, isEnough] = [0, 0, false];
  while (!isEnough) {
    const warm = await runners.fork(run);
    if (typeof warm === 'string') return { kind: 'not-warm', reason: warm };
    warmRuns++;
    found = differences(spawned, warm);
    while (found.length > 0 && spawned.length < MAX_SPAWNS) {
      spawned.push(await runners.spawn(run));
      found = differences(spawned, warm);
    }
    const now = await runners.prepare(run);
    // What it has loaded may be loaded ahead from now on, and be otherwise there.
    const hasLearned = now.kind === 'warm' && now.pid !== server && lessons++ < MAX_LESSONS;
    if (now.kind === 'warm') server = now.pid;
    isEnough = found.length > 0 || (warmRuns >= repeat && !hasLearned);
  }
  if (found.length === 0 && variations(spawned).length > 0) {
    const turns = await takeTurns(runners, run);
    if (typeof turns === 'string') return { kind: 'not-warm', reason: turns };
    found = repetitions(turns.spawned, turns.warm);
    warmRuns += turns.warm.length;
  }
  return {
    kind: found.length === 0 ? 'same' : 'differs',
    status: spawned[0]?.status ?? 0,
    bytes: spawned[0]?.body.bytes ?? 0,
    warmRuns,
    varies: variations(spawned),
    differences: found,
  };
}

/** Answers it each way by turns, or tells why it can't be run warm. */
async function takeTurns(
  runners: RunnerPair,
  run: Run,
): Promise<
  string | { readonly spawned: readonly RecordedResponse[]; readonly warm: readonly RecordedResponse[] }
> {
  const [spawned, warm]: [RecordedResponse[], RecordedResponse[]] = [[], []];
  while (warm.length < TURNS) {
    spawned.push(await runners.spawn(run));
    const forked = await runners.fork(run);
    if (typeof forked === 'string') return forked;
    warm.push(forked);
  }
  return { spawned, warm };
}
