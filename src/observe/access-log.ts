/** The access log: one line for each request, written when it has ended. */

import type { ResultWord } from '../base/results.js';
import { reasonOf } from '../base/errors.js';
import { quoted, visible } from './escape.js';
import { LineFile, lossOf } from './line-file.js';

export interface AccessLogOptions {
  readonly file: string;
  readonly format: 'text' | 'json';
}

/** What the access log says of a request. Text that is empty is not known, nor is what is undefined. */
export interface Access {
  readonly id: string;
  /** The address of the web server's client. */
  readonly client: string;
  readonly method: string;
  readonly uri: string;
  /** What the answer said, if any of it was sent. */
  readonly status: number | undefined;
  readonly inBytes: number;
  readonly outBytes: number;
  readonly queueMs: number | undefined;
  readonly firstMs: number | undefined;
  readonly totalMs: number;
  readonly pid: number | undefined;
  readonly exitStatus: number | undefined;
  readonly signal: string | undefined;
  readonly end: ResultWord;
  /** Undefined where the daemon has but one. */
  readonly site: string | undefined;
}

export interface AccessLog {
  /** Whether anything is written; without it, all. */
  readonly isOpen?: boolean;
  write(access: Access): void;
}

/** An access log can be reopened, once somebody has moved its file away. */
export interface OpenAccessLog extends AccessLog {
  /**
   * With options, or null for no access log, it goes on as they say.
   *
   * @throws BridgeError `ERR_LOG_FILE`; the log then goes on as it was.
   */
  reopen(options?: AccessLogOptions | null): void;
}

/**
 * Opens the access log, or none for the time being; each line is written before the call returns. `onLost` is told why, when
 * the first line can't be, and how many were lost, when one can be again.
 *
 * @throws BridgeError `ERR_LOG_FILE`
 */
export function openAccessLog(
  options: AccessLogOptions | null,
  onLost: (why: string) => void = () => undefined,
): OpenAccessLog {
  let lost = 0;
  let why: unknown;
  let lines = options === null ? undefined : open(options);
  let lineOf = formOf(options);
  const log = {
    isOpen: options !== null,
    write: (access: Access) => {
      const error = lines?.write(lineOf(new Date().toISOString(), access));
      if (error === undefined) {
        if (lost > 0) onLost(`--access-log: ${lossOf(lost, why)}`);
        lost = 0;
        return;
      }
      if (lost === 0) onLost(`--access-log loses lines: ${reasonOf(error)}`);
      lost += 1;
      why = error;
    },
    reopen: (others?: AccessLogOptions | null) => {
      if (others === undefined) {
        lines?.reopen();
        return;
      }
      const next = others === null ? undefined : open(others);
      lines?.close();
      lines = next;
      lineOf = formOf(others);
      log.isOpen = others !== null;
    },
  };
  return log;
}

function open({ file }: AccessLogOptions): LineFile {
  return new LineFile('--access-log', file);
}

function formOf(options: AccessLogOptions | null): typeof textLine {
  return options?.format === 'json' ? jsonLine : textLine;
}

/** Every line has the same fields in the same order; none has a space in it, whatever it is. */
function textLine(time: string, access: Access): string {
  const { queueMs, firstMs, totalMs } = access;
  return [
    time,
    access.id,
    ...[access.client, access.method, access.uri].map((text) => (text === '' ? '-' : quoted(text))),
    ...[access.status, access.inBytes, access.outBytes].map(known),
    ...[queueMs, firstMs, totalMs].map((ms) => known(ms?.toFixed(1))),
    known(access.pid),
    known(access.signal ?? access.exitStatus),
    access.end,
    access.site === undefined ? '-' : quoted(access.site),
  ].join(' ');
}

function known(value: string | number | undefined): string {
  return String(value ?? '-');
}

/** Every object has the same names; what is not known is null. */
function jsonLine(time: string, access: Access): string {
  const line = {
    time,
    id: access.id,
    client: access.client || null,
    method: access.method || null,
    uri: access.uri || null,
    status: access.status ?? null,
    in_bytes: access.inBytes,
    out_bytes: access.outBytes,
    queue_ms: tenths(access.queueMs),
    first_ms: tenths(access.firstMs),
    total_ms: tenths(access.totalMs),
    pid: access.pid ?? null,
    exit_status: access.exitStatus ?? null,
    signal: access.signal ?? null,
    end: access.end,
    site: access.site ?? null,
  };
  return visible(JSON.stringify(line));
}

function tenths(ms: number | undefined): number | null {
  return ms === undefined ? null : Math.round(ms * 10) / 10;
}
