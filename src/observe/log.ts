/** The daemon's log: one event a line, as text for people or as JSON, with nothing in it that the network can forge. */

import { type Logger, pino } from 'pino';

import { visible } from './escape.js';
import { LineFile } from './line-file.js';

export type LogLevel = 'error' | 'warn' | 'info' | 'debug';

export interface LogOptions {
  readonly level: LogLevel;
  readonly format: 'text' | 'json';
  /** Where the log goes; without it standard error. */
  readonly file: string | undefined;
}

type Fields = Readonly<Record<string, unknown>>;

/** Takes events: `fields` are what a program would look for, `message` is for people. */
export type Log = Readonly<Record<LogLevel, (fields: Fields, message: string) => void>>;

/** A log whose events have these fields before their own. */
export function withFields(log: Log, fields: Fields): Log {
  const at =
    (level: LogLevel): Log[LogLevel] =>
    (own, message) => {
      log[level]({ ...fields, ...own }, message);
    };
  return { error: at('error'), warn: at('warn'), info: at('info'), debug: at('debug') };
}

/** A log that goes to a file can begin that file anew, once somebody has moved the old one away. */
export interface OpenLog extends Log {
  /** With options, it goes on as they say. @throws BridgeError `ERR_LOG_FILE`; the log then goes on as it was. */
  reopen(options?: LogOptions): void;
}

/**
 * Opens the log; every event is written before the call returns, so that a crash loses none.
 *
 * @throws BridgeError `ERR_LOG_FILE`
 */
export function openLog(options: LogOptions): OpenLog {
  const lines = new LineFile('--log-file', options.file);
  let logger = loggerOf(options, lines);
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
    reopen: (others) => {
      if (others === undefined) {
        lines.reopen();
        return;
      }
      lines.moveTo(others.file);
      logger = loggerOf(others, lines);
    },
  };
}

function loggerOf({ level, format }: LogOptions, lines: LineFile): Logger {
  const lineOf = format === 'json' ? visible : textLine;
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    {
      write: (json) => {
        lines.write(lineOf(json.trimEnd()));
      },
    },
  );
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
