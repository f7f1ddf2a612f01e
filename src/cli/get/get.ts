/** `fcgi2cgi get`: sends one request, or the same one several times, and says what became of it. */

import type { Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';

import type { NameValues } from '../../base/bytes.js';
import { OptionError } from '../../base/errors.js';
import { Requester } from '../../fastcgi/requester.js';
import type { Run } from '../commands.js';
import { writeOut } from '../exit.js';
import { getOptions } from '../options/command-options.js';
import { readOptions, type Values } from '../options/option.js';
import { connectTo, type Exchange, exchange } from './exchange.js';
import { type Data, lengthOf, openData, requestParams } from './request-params.js';
import type { Sink } from './response-reader.js';
import { complaintOf, exitStatusOf } from './verdict.js';

type Options = Values<typeof getOptions>;

/** What is thrown away: the responses after the first, and their standard error. */
const nowhere: Sink = {
  header: () => Promise.resolve(true),
  body: () => Promise.resolve(true),
  stderr: () => undefined,
};

/** Runs the command; resolves to the exit status, the highest of all requests. @throws BridgeError `ERR_USAGE`, `ERR_START` */
export const runGet: Run = async (given) => {
  const options = readOptions(getOptions, given);
  const { repeat } = options;
  const body = readBody(options.data, repeat);
  const messages = new Messages();
  const line = lineTo(options, await requestParams({ ...options, body }), body);
  const samples: Sample[] = [];
  const complaints = new Set<string>();
  const sink = output(options.include, messages);
  let worst = 0;
  // What Node itself has yet to do at its start is no part of the first connection's time.
  await setImmediate();
  for (let number = 1; number <= repeat; number++) {
    const { verdict, ...times } = await line.ask(number === 1 ? sink : nowhere);
    const result = verdict.kind === 'answered' ? `status ${String(verdict.status)}` : verdict.kind;
    samples.push({ ...times, result });
    const complaint = complaintOf(verdict);
    if (complaint !== undefined) complaints.add(complaint);
    worst = Math.max(worst, exitStatusOf(verdict));
  }
  line.close();
  if (line.dropped > 0) {
    complaints.add(
      `the application closed the connection ${String(line.dropped)} times, though asked to keep it`,
    );
  }
  for (const complaint of complaints) messages.say(`fcgi2cgi: ${complaint}\n`);
  if (options.timings || repeat > 1) messages.say(formatTimings(samples));
  return worst;
};

interface Asked extends Omit<Exchange, 'stdoutBytes'> {
  /** Undefined for a request on a connection that was there already. */
  readonly connectMs: number | undefined;
}

/** The connection to the application: kept from request to request, or a new one for each. */
function lineTo({ address, timeoutMs, keep }: Options, params: NameValues, body: Data | undefined) {
  let [socket, requester]: [Socket?, Requester?] = [];
  const line = {
    dropped: 0,
    async ask(sink: Sink): Promise<Asked> {
      const connecting = performance.now();
      const isKept = requester !== undefined && socket?.destroyed === false;
      if (!isKept) {
        if (requester !== undefined) line.dropped += 1;
        const connected = await connectTo(address, timeoutMs);
        const totalMs = performance.now() - connecting;
        if ('kind' in connected)
          return { verdict: connected, connectMs: undefined, firstMs: undefined, totalMs };
        socket = connected;
        requester = new Requester(connected);
      }
      const connectMs = isKept ? undefined : performance.now() - connecting;
      if (requester === undefined) throw new Error('connected, and yet not');
      const asked = { params, body: body?.open(), keepConn: keep, sink };
      const { stdoutBytes, ...done } = await exchange(requester, asked);
      if (done.verdict.kind !== 'answered' || !keep) line.close();
      // An application that closes a connection at the end of a request may do so while the next one is on its way.
      if (isKept && done.verdict.kind === 'cut' && stdoutBytes === 0) {
        line.dropped += 1;
        return line.ask(sink);
      }
      return { ...done, connectMs };
    },
    close(): void {
      requester?.close();
      requester = undefined;
    },
  };
  return line;
}

function readBody(data: string | undefined, repeat: number): Data | undefined {
  if (data === undefined) return undefined;
  if (data !== '-') return openData(data);
  if (repeat === 1) return { length: lengthOf(0), open: () => process.stdin };
  const why = 'standard input can be read but once; expected a file, or no --repeat';
  throw new OptionError('ERR_USAGE', { option: 'data', value: data, why });
}

/** Standard error: what the application writes there, as it is, and our own lines, which begin as lines do. */
class Messages {
  #isInLine = false;

  pass(bytes: Buffer): void {
    process.stderr.write(bytes);
    this.#isInLine = bytes.at(-1) !== LF;
  }

  say(text: string): void {
    process.stderr.write(this.#isInLine ? `\n${text}` : text);
    this.#isInLine = false;
  }
}

const LF = 0x0a;

/** Answers go to standard output, as fast as it takes them, and until its reader leaves. */
function output(withHeader: boolean, messages: Messages): Sink {
  return {
    header: (bytes) => (withHeader ? writeOut(bytes) : Promise.resolve(true)),
    body: writeOut,
    stderr: (bytes) => {
      messages.pass(bytes);
    },
  };
}

export interface Sample extends Omit<Asked, 'verdict'> {
  /** The HTTP status, or what became of the request without one. */
  readonly result: string;
}

/** Lines for people: the one request's times, or the least, the median and the most of several. */
export function formatTimings(samples: readonly Sample[]): string {
  const rows: readonly (readonly [name: string, values: readonly number[]])[] = [
    ['connect', known(samples.map(({ connectMs }) => connectMs))],
    ['first byte', known(samples.map(({ firstMs }) => firstMs))],
    ['total', samples.map(({ totalMs }) => totalMs)],
  ];
  const [only, ...more] = samples;
  if (only !== undefined && more.length === 0) {
    return rows.map(([name, [value]]) => `${name.padEnd(11)} ${milliseconds(value)} ms\n`).join('');
  }
  const header = `${' '.repeat(11)}${['min', 'median', 'max'].map((name) => name.padStart(10)).join('')}  ms\n`;
  const lines = rows.map(([name, values]) => {
    const sorted = values.toSorted((a, b) => a - b);
    return `${name.padEnd(11)}${[sorted[0], median(sorted), sorted.at(-1)].map(milliseconds).join('')}\n`;
  });
  return `${header}${lines.join('')}${countOf(samples)}\n`;
}

function known(values: readonly (number | undefined)[]): number[] {
  return values.filter((value) => value !== undefined);
}

function median(sorted: readonly number[]): number | undefined {
  const middle = sorted.length >> 1;
  const [low, high] = [sorted[middle - 1], sorted[middle]];
  return sorted.length % 2 === 0 && low !== undefined && high !== undefined ? (low + high) / 2 : high;
}

function milliseconds(value: number | undefined): string {
  return (value === undefined ? '-' : value.toFixed(1)).padStart(10);
}

function countOf(samples: readonly Sample[]): string {
  const counts = new Map<string, number>();
  for (const { result } of samples) counts.set(result, (counts.get(result) ?? 0) + 1);
  const results = [...counts].map(([result, count]) => `${String(count)} × ${result}`);
  return `${String(samples.length)} requests: ${results.join(', ')}`;
}
