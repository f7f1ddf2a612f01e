/**
 * What the bridge and a fork server say to each other, over the two pipes that are its standard input and output.
 *
 * To the fork server: the length in four octets (big-endian), then fields that end with a NUL octet each; a list is its
 * length and its elements, a variable is NAME=VALUE.
 *
 *     load DIRECTORY [START…] [VARIABLE…] [MODULE=FILE…] [LIMIT=VALUE…]
 *                                                           first of all: where to make pipes, the variables that it was
 *                                                           started with, those of the request that it is started for,
 *                                                           what to load ahead, and what each process may use
 *     run ID learn|- WORKING-DIRECTORY [ARGUMENT…] [VARIABLE…]
 *
 * From it: lines of words, in which `%`, space and newline are percent-encoded.
 *
 *     ready NAME…         the names of variables that were read while it loaded
 *     unfit REASON        it ends; the script is to be run otherwise
 *     forked ID PID NAME  its pipes are NAME.in, NAME.out and NAME.err; it begins when they are open, and NAME.in removed
 *     refused ID REASON   nothing was forked, or what was forked has ended; without meaning after `forked`
 *     stale ID FILE       nothing was forked: what was loaded is no longer what is on the disk
 *     ended PID STATUS    as waitpid(2) has it
 *     learned MODULE=FILE…
 */

import { constants } from 'node:os';

import { type ByteString, toBuffer } from '../../bytes.js';
import type { ExitStatus } from '../../process/exit-status.js';

export type Variables = ReadonlyMap<ByteString, ByteString>;

export type Message =
  | {
      readonly kind: 'load';
      /** Where named pipes are to be made. */
      readonly directory: ByteString;
      readonly start: Variables;
      readonly variables: Variables;
      readonly modules: Variables;
      /** What each process may use, the `values` of `SetLimits`. */
      readonly limits: Variables;
    }
  | {
      readonly kind: 'run';
      readonly id: string;
      readonly learn: boolean;
      readonly directory: ByteString;
      readonly args: readonly ByteString[];
      readonly variables: Variables;
    };

export type Answer =
  | { readonly kind: 'ready'; readonly variables: readonly ByteString[] }
  | { readonly kind: 'unfit'; readonly reason: ByteString }
  | { readonly kind: 'forked'; readonly id: string; readonly pid: number; readonly name: ByteString }
  | { readonly kind: 'refused' | 'stale'; readonly id: string; readonly reason: ByteString }
  | { readonly kind: 'ended'; readonly pid: number; readonly exit: ExitStatus }
  | { readonly kind: 'learned'; readonly modules: Variables };

/** A message's octets. No field may hold a NUL octet. */
export function encodeMessage(message: Message): Buffer {
  const fields = toBuffer(
    fieldsOf(message)
      .map((field) => `${field}\0`)
      .join(''),
  );
  const length = Buffer.alloc(4);
  length.writeUInt32BE(fields.length);
  return Buffer.concat([length, fields]);
}

function fieldsOf(message: Message): readonly ByteString[] {
  switch (message.kind) {
    case 'load':
      return [
        'load',
        message.directory,
        ...pairs(message.start),
        ...pairs(message.variables),
        ...pairs(message.modules),
        ...pairs(message.limits),
      ];
    case 'run':
      return [
        'run',
        message.id,
        message.learn ? 'learn' : '-',
        message.directory,
        String(message.args.length),
        ...message.args,
        ...pairs(message.variables),
      ];
  }
}

function pairs(variables: Variables): readonly ByteString[] {
  return [String(variables.size), ...[...variables].map(([name, value]) => `${name}=${value}`)];
}

/** An answer from its line, without the newline; undefined if it is none. */
export function decodeAnswer(line: ByteString): Answer | undefined {
  const [kind = '', ...words] = line.split(' ').map(unescape);
  const [first = '', second = '', third = ''] = words;
  switch (kind) {
    case 'ready':
      return { kind, variables: words };
    case 'unfit':
      return { kind, reason: first };
    case 'forked':
      return { kind, id: first, pid: Number(second), name: third };
    case 'refused':
    case 'stale':
      return { kind, id: first, reason: second };
    case 'ended':
      return { kind, pid: Number(first), exit: exitStatusOf(Number(second)) };
    case 'learned':
      return { kind, modules: new Map(words.map(splitPair)) };
    default:
      return undefined;
  }
}

function unescape(word: ByteString): ByteString {
  return word.replace(/%([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

function splitPair(word: ByteString): [ByteString, ByteString] {
  const equals = word.indexOf('=');
  return [word.slice(0, equals), word.slice(equals + 1)];
}

const signalNames = new Map(
  Object.entries(constants.signals).map(([name, number]) => [number, name as NodeJS.Signals]),
);

/** What waitpid(2) says, as WIFEXITED, WEXITSTATUS and WTERMSIG take it apart. */
function exitStatusOf(status: number): ExitStatus {
  const signal = signalNames.get(status & 0x7f);
  return signal === undefined ? { kind: 'exited', code: (status >> 8) & 0xff } : { kind: 'signaled', signal };
}

/** The reason that an answer gives, for people. */
export function reasonText(reason: ByteString): string {
  return toBuffer(reason).toString('utf8');
}
