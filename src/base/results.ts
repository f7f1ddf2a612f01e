/** What can become of a request: a row for each result, which `daemon/requests/request-result.ts` finds. */

export interface Row {
  /** How far the request came: nothing was started for it, nothing could be, it was run, or its response was sent. */
  readonly stage: 'before' | 'start' | 'run' | 'sent';
  /** What the access log and the metrics call it. */
  readonly word: string;
  readonly level: 'error' | 'warn' | 'info' | 'debug';
  /** For the log. In it, `{why}` is the reason, or without one `reason`; in that, `{how}` is how the script ended. */
  readonly message: string;
  readonly reason?: string;
  /** The HTTP status and text of the bridge's own page, where nobody else has answered: for visitors, so without options. */
  readonly status?: number;
  readonly page?: string;
  /** What the page's reader is told to wait, in seconds. */
  readonly retryAfterSeconds?: number;
  readonly code?: string;
  /** Only for errors that the system calls so; `none` for those that the system has no part in. */
  readonly causes?: readonly string[];
  /** The option that sets the limit. */
  readonly option?: string;
  /** Whether it is the bridge that ends a run so. */
  readonly endsRun?: boolean;
}

/** The error's code, and the option that sets the limit. */
const by = <const Code extends string>(code: Code, option: string) => ({ code, option });
/** The bridge's own page; the log has another text where visitors could do nothing with it. */
const shown = (status: number, page: string) => ({ status, page });
const TOO_LONG = shown(504, 'The server took too long to make this page.');
const NOT_MADE = shown(502, 'The server could not make this page.');

const refused = {
  stage: 'before',
  word: 'refused',
  level: 'info',
  message: 'request refused: {why}',
} as const;
const failed = { level: 'error', message: 'request failed: {why}' } as const;
const notStarted = { ...failed, stage: 'start', word: 'start-error' } as const;
/** Ended by the bridge. */
const ended = <const Word extends string>(word: Word) =>
  ({ ...failed, stage: 'run', endsRun: true, word }) as const;
/** Ended for a time that has its option's name. */
const late = <const Word extends string>(word: Word, reason: string) =>
  ({ ...ended(word), ...TOO_LONG, option: word, reason }) as const;
const died = <const Word extends string>(word: Word, reason: string) =>
  ({ ...failed, ...NOT_MADE, stage: 'run', word, reason }) as const;
const completed = (level: Row['level'], message: string) =>
  ({ stage: 'sent', word: 'completed', level, message }) as const;

const tryAgain = (why: string) =>
  ({ status: 503, page: `${why}; please try again in a moment.`, retryAfterSeconds: 5 }) as const;
const notAdmitted = {
  ...tryAgain('Too many requests are being handled'),
  stage: 'before',
  word: 'not-admitted',
  level: 'warn',
  message: '{why}',
} as const;
const notRead = { ...notAdmitted, message: 'request refused: {why}' } as const;

const tooLarge = {
  ...shown(413, 'More was sent than the server takes at once.'),
  reason: 'More of the request’s body had to be kept than may be (--max-spool-size).',
  ...by('ERR_MAX_SPOOL_SIZE', 'max-spool-size'),
} as const;
const tooMany = {
  ...tryAgain('Too many requests’ bodies are waiting'),
  code: 'ERR_SPOOL',
  causes: ['none'],
} as const;
const spoolTotal = {
  ...tryAgain('Too many requests’ bodies are waiting'),
  ...by('ERR_MAX_SPOOL_TOTAL', 'max-spool-total'),
} as const;
const notKept = {
  page: 'The server could not keep what was sent.',
  code: 'ERR_SPOOL',
} as const;
const diskFull = { ...notKept, status: 507, causes: ['ENOSPC', 'EDQUOT', 'EFBIG'] } as const;

const unusable = (status: number) =>
  ({ ...refused, status, page: 'The request can’t be handled: {why}.' }) as const;

/** By name. Of those that an error stands for, the first that fits counts. */
const rows = {
  answered: completed('debug', 'request answered'),
  'answered-early': completed('debug', 'request answered; the script has ended only now'),
  'refused-by-script': completed('info', 'request refused by the script: {why}'),
  'failed-in-script': completed('warn', 'request failed in the script: {why}'),
  'nonzero-exit': completed('warn', 'script ended with a nonzero status after its response'),
  'held-open': completed('warn', 'what held the outputs of a whole response open was ended: {why}'),
  'too-long': completed(
    'warn',
    'script wrote more than its status or Content-Length allows; the rest is thrown away',
  ),
  /** By the site, which says with which status and why. */
  refused,
  'invalid-params': { ...unusable(400), code: 'ERR_FASTCGI_PARAMS' },
  'max-params-size': { ...unusable(431), ...by('ERR_MAX_PARAMS_SIZE', 'max-params-size') },
  'params-timeout': { ...unusable(408), ...by('ERR_PARAMS_TIMEOUT', 'idle-timeout') },
  'body-timeout': {
    ...refused,
    level: 'warn',
    ...by('ERR_BODY_TIMEOUT', 'idle-timeout'),
    ...shown(408, 'Nothing came of the rest of the request for too long.'),
    reason: 'Nothing of the request’s body came for too long (--idle-timeout).',
  },
  'body-too-large': { ...refused, ...tooLarge, level: 'warn' },
  'body-too-many': { ...refused, ...tooMany, level: 'error' },
  'body-total': { ...refused, ...spoolTotal, level: 'error' },
  'body-disk-full': { ...refused, ...diskFull, level: 'error' },
  'body-not-kept': { ...refused, ...notKept, level: 'error', status: 500 },

  'max-requests': {
    ...notRead,
    ...by('ERR_MAX_REQUESTS', 'max-requests-per-connection'),
    message: 'request refused: too many are active on its connection (--max-requests-per-connection)',
  },
  'max-params-total': {
    ...notRead,
    ...by('ERR_MAX_PARAMS_TOTAL', 'max-params-total'),
    message: 'request refused: too many have begun, on all connections (--max-params-total)',
  },
  draining: {
    ...notRead,
    ...tryAgain('The server is being restarted'),
    message: 'request refused: its connection ends when those before it have ended',
  },
  'params-total': { ...notAdmitted, ...by('ERR_MAX_PARAMS_TOTAL', 'max-params-total') },
  'max-queue': { ...notAdmitted, ...by('ERR_MAX_QUEUE', 'max-queue') },
  'queue-timeout': { ...notAdmitted, ...by('ERR_QUEUE_TIMEOUT', 'queue-timeout') },
  'system-limit': { ...notAdmitted, stage: 'start', ...by('ERR_SYSTEM_LIMIT', 'queue-timeout') },

  'look-up-timeout': {
    ...refused,
    word: 'look-up-timeout',
    level: 'error',
    ...by('ERR_LOOK_UP_TIMEOUT', 'look-up-timeout'),
    ...TOO_LONG,
    reason: 'The file system did not say in time what is asked for (--look-up-timeout).',
  },
  'no-program-in-time': {
    ...notStarted,
    word: 'look-up-timeout',
    ...by('ERR_LOOK_UP_TIMEOUT', 'look-up-timeout'),
    ...TOO_LONG,
    reason: 'The file system that has the program does not answer (--look-up-timeout).',
  },

  abort: {
    stage: 'run',
    endsRun: true,
    word: 'aborted',
    level: 'info',
    message: 'request aborted: {why}',
    code: 'ERR_FASTCGI_DISCONNECTED',
  },
  cancelled: {
    stage: 'run',
    endsRun: true,
    word: 'cancelled',
    level: 'warn',
    message: 'request cancelled: {why}',
    reason: 'somebody has told the daemon to end it',
    code: 'ERR_CANCELLED',
    ...shown(503, 'The administrator of the server has ended this request.'),
  },
  'start-timeout': late('start-timeout', 'The program did not begin to answer in time (--start-timeout).'),
  'idle-timeout': late('idle-timeout', 'Neither body nor response moved for too long (--idle-timeout).'),
  'max-time': late('max-time', 'The program took longer than a request may (--max-time).'),
  'max-cpu': {
    ...failed,
    stage: 'run',
    word: 'max-cpu',
    option: 'max-cpu',
    ...TOO_LONG,
    reason: 'The program used more processor time than it may (--max-cpu).',
  },
  'max-header-size': {
    ...ended('max-header-size'),
    ...by('ERR_MAX_HEADER_SIZE', 'max-header-size'),
    ...NOT_MADE,
  },
  'max-spool-size': { ...ended('max-spool-size'), ...tooLarge },
  'invalid-header': { ...ended('invalid-header'), ...NOT_MADE, code: 'ERR_INVALID_HEADER' },
  'too-many-spools': { ...failed, ...tooMany, stage: 'run', word: 'spool-error' },
  'max-spool-total': { ...failed, ...spoolTotal, stage: 'run', word: 'spool-error' },
  'disk-full': { ...failed, ...diskFull, stage: 'run', word: 'spool-error' },
  'spool-error': { ...ended('spool-error'), ...notKept, status: 500 },

  'no-worker': {
    ...notStarted,
    ...tryAgain('The application keeps failing'),
    ...by('ERR_WORKERS', 'max-crashes'),
  },
  'worker-overloaded': {
    ...notStarted,
    ...tryAgain('The application has too much to do'),
    word: 'no-header',
    code: 'ERR_WORKER_OVERLOADED',
  },
  'worker-protocol': { ...notStarted, ...NOT_MADE, word: 'no-header', code: 'ERR_WORKER_PROTOCOL' },
  'header-too-large': {
    ...notStarted,
    code: 'ERR_SPAWN',
    causes: ['E2BIG'],
    ...shown(431, 'The request’s header is larger than the server takes.'),
  },
  'start-error': { ...notStarted, ...shown(500, NOT_MADE.page), code: 'ERR_SPAWN' },

  'no-header': died('no-header', 'The program ended without a complete header.'),
  killed: died('no-header', 'The program was ended by {how} before it answered.'),
  /** Of one that was held to be sent whole, and never was whole. */
  withheld: died('cut-short', 'The program ended before its answer was whole.'),
  'killed-withheld': died('cut-short', 'The program was ended by {how} before its answer was whole.'),
  /** Of one that was being sent. */
  'cut-short': {
    ...failed,
    stage: 'sent',
    word: 'cut-short',
    message: 'response cut short after {why}',
    reason: 'The program wrote less than its Content-Length says.',
  },

  'bridge-error': {
    ...({ ...failed, stage: 'before', word: 'bridge-error', message: '{why}' } as const),
    ...shown(500, NOT_MADE.page),
  },
} as const satisfies Record<string, Row>;

type Rows = typeof rows;
export type ResultName = keyof Rows;
/** What the access log calls what became of a request. */
export type ResultWord = Rows[ResultName]['word'];
/** The codes of errors that are results of requests. */
export type ResultCode = Extract<Rows[ResultName], { readonly code: string }>['code'];
/** Why a run was ended before it ended by itself. */
export type EndedBy = {
  [Name in ResultName]: Rows[Name] extends { readonly endsRun: true } ? Name : never;
}[ResultName];
/** A row that says which word it has. */
export type Result = Row & { readonly word: ResultWord };

export const results: Readonly<Record<ResultName, Result>> = rows;

export const resultWords: readonly ResultWord[] = [...new Set(Object.values(rows).map(({ word }) => word))];
