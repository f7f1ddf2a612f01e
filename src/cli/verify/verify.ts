/** `fcgi2cgi verify`: answers requests by new processes and by warm ones, and says how the responses differ. */

import { constants } from 'node:os';

import { type NameValues, toText, valueOf } from '../../base/bytes.js';
import { BridgeError, OptionError } from '../../base/errors.js';
import { statusText } from '../../cgi/document.js';
import { findLimits, makeSite } from '../../daemon/make-site.js';
import { stopSignal } from '../../daemon/process/signals.js';
import { setUmask } from '../../daemon/process/privileges.js';
import { visible } from '../../observe/escape.js';
import { keepFromPrograms } from '../../posix/descriptors.js';
import type { Run } from '../commands.js';
import { ExitStatus, writeOut } from '../exit.js';
import { type Data, openData, requestParams } from '../get/request-params.js';
import { namedSite } from '../configuration.js';
import { verifyOptions } from '../options/command-options.js';
import { readOptions, type Values } from '../options/option.js';
import { lookAs } from '../serve/serve.js';
import type { Difference } from './differences.js';
import { readRequests, type Verdict, verifyRequest, type WantedRequest } from './verify-request.js';
import { RunnerPair } from './runner-pair.js';

type Options = Values<typeof verifyOptions>;

/**
 * Verifies the requests of `words` and of `--requests`, and prints what was found. Resolves to the exit status:
 * whether all responses are the same, some differ, or something could not be compared.
 *
 * @throws BridgeError `ERR_USAGE`, and what the site could not start for
 */
export const runVerify: Run = async (given, words) => {
  const options = readOptions(verifyOptions, given);
  const { served, configuration } = namedSite(options, given);
  await lookAs(configuration);
  setUmask(configuration.umask);
  if (served.site.kind === 'worker') {
    const why = 'the processes of a worker are neither spawned nor forked for a request';
    throw new BridgeError('ERR_USAGE', `verify: ${why}`);
  }
  const data = readData(options);
  const wanted = [...words.map((target) => ({ target, method: undefined })), ...fromFile(options)];
  if (wanted.length === 0) {
    const example = "fcgi2cgi verify hg --repos /srv/hg -- /project/ '/project/log?rev=tip'";
    const why = 'what to ask for is missing; it comes last, after --';
    throw new BridgeError('ERR_USAGE', `verify: ${why}: ${example}`);
  }
  const requests: NameValues[] = [];
  for (const { target, method = options.method } of wanted) {
    requests.push(await requestParams({ ...options, target, method, body: data }));
  }
  const print = options.json ? verifiedJson : formatVerified;
  const counts = { ...none };
  const textOf = (params: NameValues, name: string): string => toText(valueOf(params, name) ?? '');
  keepFromPrograms();
  const site = await makeSite(served);
  const abort = new AbortController();
  const runners = new RunnerPair(served, await findLimits(served), abort.signal);
  const stop = stopSignal(() => undefined);
  void stop.received.then(() => {
    abort.abort();
    // Ends also what is waited for.
    return runners.close();
  });
  try {
    for (const params of requests) {
      const verdict = await verifyRequest(site, runners, { params, data, repeat: options.repeat });
      // One that was aborted says nothing.
      if (abort.signal.aborted) break;
      counts[verdict.kind]++;
      const [method, target] = [textOf(params, 'REQUEST_METHOD'), textOf(params, 'REQUEST_URI')];
      if (!(await writeOut(print({ method, target, verdict })))) break;
    }
  } finally {
    await runners.close();
    stop.dispose();
  }
  process.stderr.write(formatCounts(counts));
  if (abort.signal.aborted) return 128 + constants.signals[await stop.received];
  if (counts.differs > 0) return ExitStatus.DIFFERENT;
  return counts['not-warm'] > 0 || counts.same === 0 ? ExitStatus.NOT_COMPARED : ExitStatus.DONE;
};

/** The body of every request, which each run reads from its beginning. @throws OptionError `ERR_USAGE`, `ERR_START` */
function readData({ data: path, method }: Options): Data | undefined {
  if (path === undefined) return undefined;
  const refusal = (why: string): OptionError =>
    new OptionError('ERR_USAGE', { option: 'data', value: path, why });
  if (method === undefined) {
    throw refusal(
      'makes it a POST, which would be run several times; say --method POST if that does no harm',
    );
  }
  const data = path === '-' ? undefined : openData(path);
  if (data?.length === undefined) throw refusal('is read for each run; expected a regular file');
  return data;
}

/** The requests of `--requests`; says what of it is left out. @throws OptionError `ERR_USAGE`, `ERR_START` */
function fromFile({ requests: path, site }: Options): readonly WantedRequest[] {
  if (path === undefined) return [];
  const { requests, leftOut } = readRequests(path, site);
  for (const [why, count] of leftOut) {
    process.stderr.write(`fcgi2cgi: --requests ${path}: left out ${String(count)} lines: ${why}\n`);
  }
  return requests;
}

export interface Verified {
  readonly method: string;
  readonly target: string;
  readonly verdict: Verdict;
}

/** How many requests of each kind there were. */
export type Counts = Record<Verdict['kind'], number>;

/** As they are before the first. */
export const none: Readonly<Counts> = {
  same: 0,
  differs: 0,
  'not-warm': 0,
  'never-warm': 0,
  'no-program': 0,
};

const words: Readonly<Record<Verdict['kind'], string>> = {
  same: 'same',
  differs: 'differs',
  'not-warm': 'not warm',
  'never-warm': 'never warm',
  'no-program': 'no program',
};

const INDENT = ' '.repeat(11);

/** Lines of text, with nothing in them that a terminal could take for more than text. */
export function formatVerified({ method, target, verdict }: Verified): string {
  const request = `${words[verdict.kind].padEnd(10)} ${method} ${target}`;
  switch (verdict.kind) {
    case 'not-warm':
    case 'never-warm':
      return lines([`${request}: ${verdict.reason}`]);
    case 'no-program':
      return lines([`${request}: ${statusText(verdict.status)}`]);
    case 'same':
    case 'differs': {
      const { status, bytes, warmRuns, varies } = verdict;
      return lines([
        `${request}: ${String(status)}, ${String(bytes)} bytes, ${String(warmRuns)} × warm`,
        ...varies.map((what) => `${INDENT}varies by itself: ${what}`),
        ...verdict.differences.flatMap(formatDifference),
      ]);
    }
  }
}

function formatDifference({ part, name, line, spawn, warm, repeats }: Difference): readonly string[] {
  const where = [part, name, line === undefined ? undefined : `line ${String(line)}`]
    .filter(Boolean)
    .join(' ');
  const shown = (text: string | null): string => text ?? '(nothing)';
  if (repeats !== undefined) {
    return [
      `${INDENT}${where} by spawn: ${shown(spawn)} (another one each time)`,
      `${INDENT}${where} by warm:  ${shown(warm)} (the same ${String(repeats)} times)`,
    ];
  }
  return [`${INDENT}${where} by spawn: ${shown(spawn)}`, `${INDENT}${where} by warm:  ${shown(warm)}`];
}

function lines(texts: readonly string[]): string {
  return texts.map((text) => `${visible(text)}\n`).join('');
}

export function verifiedJson({ method, target, verdict }: Verified): string {
  const { kind: result, ...more } = verdict;
  return `${visible(JSON.stringify({ method, target, result, ...more }))}\n`;
}

/** All in one line. */
export function formatCounts(counts: Readonly<Counts>): string {
  const each = Object.entries(counts).flatMap(([kind, count]) =>
    count === 0 ? [] : [`${String(count)} ${words[kind as Verdict['kind']]}`],
  );
  const all = Object.values(counts).reduce((sum, count) => sum + count, 0);
  return `${[`${String(all)} request${all === 1 ? '' : 's'}`, each.join(', ')].filter(Boolean).join(': ')}\n`;
}
