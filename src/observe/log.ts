/** The daemon's log: one event a line, as text for people or as JSON, with nothing in it that the network can forge. */

import { pino } from 'pino';

import { BridgeError, reasonOf } from '../errors.js';

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

export interface LogOptions {
  readonly level: LogLevel;
  readonly format: 'text' | 'json';
  /** Where the log goes; without it standard error. */
  readonly file: string | undefined;
}

type Fields = Readonly<Record<string, unknown>>;

/** What is kept for a log that can't be written, since its disk is full; what comes then is lost. */
const MAX_UNWRITTEN_BYTES = 1_048_576;

/** Takes events: `fields` are what a program would look for, `message` is for people. */
export type Log = Readonly<Record<LogLevel, (fields: Fields, message: string) => void>>;

/** A log that goes to a file can begin that file anew, once somebody has moved the old one away. */
export interface OpenLog extends Log {
  /** Begins the file anew; where that can't be done, the old one goes on and says so. */
  reopen(): void;
}

/**
 * Opens the log; every event is written before the call returns, so that a crash loses none.
 *
 * @throws BridgeError `ERR_LOG_FILE`
 */
export function openLog(options: LogOptions): OpenLog {
  const stream = destination(options.file);
  const lineOf = options.format === 'json' ? visible : textLine;
  const logger = pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (json) => stream.write(`${lineOf(json.trimEnd())}\n`) },
  );
  const at =
    (level: LogLevel): Log[LogLevel] =>
    (fields, message) => {
      logger[level](fields, message);
    };
  return {
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
    reopen: () => {
      if (options.file === undefined) return;
      try {
        stream.reopen();
        logger.info('log opened again');
      } catch (error) {
        logger.error(`--log-file ${options.file} can't be opened again: ${reasonOf(error)}`);
      }
    },
  };
}

function destination(file: string | undefined): ReturnType<typeof pino.destination> {
  try {
    const stream = pino.destination({
      dest: file ?? 2,
      mode: 0o640,
      sync: true,
      maxLength: MAX_UNWRITTEN_BYTES,
    });
    // A log that can't be written (its disk is full, its reader has left) must not end the daemon.
    stream.on('error', () => undefined);
    return stream;
  } catch (error) {
    throw new BridgeError('ERR_LOG_FILE', `--log-file ${String(file)} can't be opened: ${reasonOf(error)}`);
  }
}

function textLine(json: string): string {
  const { time, level, msg, ...fields } = JSON.parse(json) as Record<string, unknown>;
  const pairs = Object.entries(fields).map(([name, value]) => ` ${name}=${printable(value)}`);
  return `${String(time)} ${String(level)} ${visible(String(msg))}${pairs.join('')}`;
}

function printable(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return /^[\w./:@%+,-]+$/.test(text) ? text : visible(JSON.stringify(value));
}

/** Control characters, and what a terminal or an editor may take for the end of a line, as escapes of JSON's form. */
function visible(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Cf}]/gu, (character) =>
    character
      .split('')
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join(''),
  );
}
