/**
 * The daemon's log: one event a line, as text for people or as JSON, with nothing in it that the network can forge. What
 * comes again and again is told at once, and then how many there are.
 */

import { type Logger, pino } from 'pino';

import { visible, withoutFields } from './escape.js';
import { LineFile, lossOf } from './line-file.js';

/** From what is always said to what is said least often. */
const LEVELS = ['error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof LEVELS)[number];

export interface LogOptions {
  readonly level: LogLevel;
  readonly format: 'text' | 'json';
  /** Where the log goes; without it standard error. */
  readonly file: string | undefined;
}

type Fields = Readonly<Record<string, unknown>>;

/** Takes events: `fields` are what a program would look for, `message` is for people. */
export type Log = Readonly<Record<LogLevel, (fields: Fields, message: string) => void>> & {
  /** Whether it writes events of that level; without it, all. */
  readonly hears?: ((level: LogLevel) => boolean) | undefined;
};

/** A log whose events have these fields before their own. */
export function withFields(log: Log, fields: Fields): Log {
  const at =
    (level: LogLevel): Log[LogLevel] =>
    (own, message) => {
      log[level]({ ...fields, ...own }, message);
    };
  const { hears } = log;
  return { error: at('error'), warn: at('warn'), info: at('info'), debug: at('debug'), hears };
}

/** A log that goes to a file can open that file again, once somebody has moved the old one away. */
export interface OpenLog extends Log {
  /** With options, it goes on as they say. @throws BridgeError `ERR_LOG_FILE`; the log then goes on as it was. */
  reopen(options?: LogOptions): void;
}

/**
 * Opens the log; every event is written before the call returns, so that a crash loses none. Where a full disk has lost
 * some, the next that is written comes after a line that says how many.
 *
 * @throws BridgeError `ERR_LOG_FILE`
 */
export function openLog(options: LogOptions): OpenLog {
  const lines = new LineFile('--log-file', options.file);
  let { level: least, format } = options;
  let logger: Logger | undefined;
  let lost = 0;
  let why: unknown;
  const append = (line: string): void => {
    why = lines.write(line);
    lost = why === undefined ? 0 : lost + 1;
  };
  const say = (level: LogLevel, fields: Fields, message: string): void => {
    if (format === 'json') (logger ??= loggerTo(append))[level](fields, message);
    else append(textLine(level, fields, message));
  };
  const hears = (level: LogLevel): boolean => LEVELS.indexOf(level) <= LEVELS.indexOf(least);
  const at =
    (level: LogLevel): Log[LogLevel] =>
    (fields, message) => {
      if (!hears(level)) return;
      if (lost > 0) say('error', { code: 'ERR_LOG_FILE', count: lost }, lossOf(lost, why));
      // Else this event was lost with them.
      if (lost === 0) say(level, fields, message);
    };
  return {
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
    hears,
    reopen: (others) => {
      if (others === undefined) {
        lines.reopen();
        return;
      }
      lines.moveTo(others.file);
      ({ level: least, format } = others);
    },
  };
}

function loggerTo(append: (line: string) => void): Logger {
  return pino(
    {
      level: 'debug',
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    {
      write: (json) => {
        append(visible(json.trimEnd()));
      },
    },
  );
}

function textLine(level: LogLevel, fields: Fields, message: string): string {
  const said = Object.entries(fields).filter(([, value]) => value !== undefined);
  const pairs = said.map(([name, value]) => ` ${name}=${printable(value)}`);
  return `${new Date().toISOString()} ${level} ${withoutFields(closed(message))}${pairs.join('')}`;
}

/** The text without a quote that nothing closes: it would hide the fields behind it from who minds quotes. */
function closed(text: string): string {
  return /^[^"\\]*("[^"\\]*"[^"\\]*)*$/.test(text) ? text : text.replace(/["\\]/g, '\\$&');
}

function printable(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return /^[\w./:@%+,-]+$/.test(text) ? text : withoutFields(JSON.stringify(value));
}

/** How long events of a kind are counted before the log says how many there were. */
const INTERVAL_MS = 10_000;

interface Kind {
  /** Those that the log has not said. */
  count: number;
  /** Says how many there were, with what the last one had to say. */
  tell: () => void;
  readonly timer: NodeJS.Timeout;
}

/** Owns its timers, which keep no process alive. */
export class RepeatedEvents {
  readonly #log: Log;
  readonly #kinds = new Map<string, Kind>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Logs an event, or counts it, if one of its kind was logged within the last 10 s; only the former asks for fields. */
  log(kind: string, level: LogLevel, fields: () => Fields, message: string): void {
    const known = this.#kinds.get(kind);
    if (known === undefined) {
      this.#log[level](fields(), message);
      const timer = setInterval(() => {
        this.#tell(kind);
      }, INTERVAL_MS).unref();
      this.#kinds.set(kind, { count: 0, tell: () => undefined, timer });
      return;
    }
    known.count += 1;
    known.tell = () => {
      const more = `${String(known.count)} more within ${String(INTERVAL_MS / 1_000)} s`;
      this.#log[level]({ ...fields(), count: known.count }, `${more}: ${message}`);
    };
  }

  /** Says what it has counted, and that is all. */
  close(): void {
    for (const [kind, { timer, count, tell }] of this.#kinds) {
      clearInterval(timer);
      if (count > 0) tell();
      this.#kinds.delete(kind);
    }
  }

  #tell(kind: string): void {
    const known = this.#kinds.get(kind);
    if (known === undefined) return;
    if (known.count > 0) {
      known.tell();
      known.count = 0;
      return;
    }
    clearInterval(known.timer);
    this.#kinds.delete(kind);
  }
}
