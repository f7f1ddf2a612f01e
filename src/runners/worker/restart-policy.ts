/**
 * The restart policy of workers, as a table: what follows from what happens to a worker in each of its states.
 *
 * An application's exit status 0 says that it has ended on purpose (FastCGI 1.0 §7); gitweb does so after each 101
 * requests. However many of these there are in a row, they are no failure: what counts as one is any other exit, and
 * an exit before the first answer. A row of them ends when a worker answers, or has accepted and
 * lasts: many a one accepts and then crashes.
 */

/** What a worker actually is, whatever is wanted of it. */
export type Actual = keyof typeof policy;

/**
 * What happens to a worker. `due`: its time to be started has come. `lasts`: it has shown that it reads a connection, and
 * runs for some seconds since.
 * `dismissed`: it was told to end.
 */
export type WorkerEvent =
  | 'due'
  | 'lasts'
  | 'answered'
  | 'exited-zero'
  | 'exited-otherwise'
  | 'not-started'
  | 'dismissed';

export interface Step {
  readonly actual: 'absent' | 'unproven' | 'proven' | 'ending';
  /** What becomes of the number of failures in a row, which all workers of an application share. */
  readonly failuresInARow?: 'forgotten' | 'one-more';
  /** When the next process is started in its place, if one is wanted there. */
  readonly restart?: 'at-once' | 'after-backoff';
}

/** The table: a row for each state, a cell for each event. */
export const policy = {
  /** No process is there. What is late for one that was there changes nothing. */
  absent: {
    due: { actual: 'unproven' },
    lasts: { actual: 'absent' },
    answered: { actual: 'absent', failuresInARow: 'forgotten' },
    'exited-zero': { actual: 'absent' },
    'exited-otherwise': { actual: 'absent' },
    'not-started': { actual: 'absent', failuresInARow: 'one-more', restart: 'after-backoff' },
    dismissed: { actual: 'absent' },
  },
  /** It runs and has not answered yet: nobody knows whether it can. */
  unproven: {
    due: { actual: 'unproven' },
    lasts: { actual: 'unproven', failuresInARow: 'forgotten' },
    answered: { actual: 'proven', failuresInARow: 'forgotten' },
    'exited-zero': { actual: 'absent', failuresInARow: 'one-more', restart: 'after-backoff' },
    'exited-otherwise': { actual: 'absent', failuresInARow: 'one-more', restart: 'after-backoff' },
    'not-started': { actual: 'absent', failuresInARow: 'one-more', restart: 'after-backoff' },
    dismissed: { actual: 'ending' },
  },
  /** It has answered. */
  proven: {
    due: { actual: 'proven' },
    lasts: { actual: 'proven' },
    answered: { actual: 'proven', failuresInARow: 'forgotten' },
    'exited-zero': { actual: 'absent', failuresInARow: 'forgotten', restart: 'at-once' },
    'exited-otherwise': { actual: 'absent', failuresInARow: 'one-more', restart: 'after-backoff' },
    'not-started': { actual: 'absent', failuresInARow: 'one-more', restart: 'after-backoff' },
    dismissed: { actual: 'ending' },
  },
  /** It was told to end, and has not yet: how it ends is then no matter. */
  ending: {
    due: { actual: 'ending' },
    lasts: { actual: 'ending' },
    answered: { actual: 'ending', failuresInARow: 'forgotten' },
    'exited-zero': { actual: 'absent', restart: 'at-once' },
    'exited-otherwise': { actual: 'absent', restart: 'at-once' },
    'not-started': { actual: 'absent', restart: 'after-backoff' },
    dismissed: { actual: 'ending' },
  },
} as const satisfies Record<Step['actual'], Record<WorkerEvent, Step>>;
