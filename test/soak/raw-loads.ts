/** Loads that come to the scripts as FastCGI records, without a web server. */

import { buffer } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';

import type { Requester, SentRequest } from '../../src/fastcgi/requester.js';
import { play } from '../fuzz/play.js';
import { makeStream } from '../fuzz/stream.js';
import { connect } from '../helpers/ask.js';
import { type Expected, type Load, matches, type Turn } from './load.js';
import { cases, ECHOES, NEVER_ANSWERS, SAYS_PID, STALLS } from './scripts.js';
import { MAX_REQUESTS } from './stage.js';

const STREAM_PATIENCE_MS = 60_000;
/** For each number of a run: streams of other runs are other streams. */
const STREAMS = 5;

interface Sending {
  readonly requestId?: number;
  readonly keepConn?: boolean;
  readonly body?: Buffer;
  readonly more?: readonly (readonly [string, string])[];
}

/** Sends a request for a script, with the tag only where the killer does not look for it. */
function send(
  turn: Turn,
  connection: Requester,
  tag: string,
  script: string,
  { requestId = 1, keepConn = false, body, more = [] }: Sending = {},
): SentRequest {
  const params: (readonly [string, string])[] = [
    ['REQUEST_METHOD', body === undefined ? 'GET' : 'POST'],
    ['SCRIPT_FILENAME', `${turn.stage.root}/${script}`],
    ['REQUEST_URI', `/${script}?soak=${tag}`],
    ...more,
  ];
  const sent = connection.send(params, { requestId, keepConn });
  sent.stdin.end(body);
  return sent;
}

/** Reads an answer and compares. @throws BridgeError where the connection is lost */
async function compare(turn: Turn, tag: string, sent: SentRequest, expected: Expected): Promise<void> {
  const [stdout] = await Promise.all([buffer(sent.stdout), buffer(sent.stderr), sent.ended]);
  const [head = '', ...rest] = stdout.toString('latin1').split(/\r?\n\r?\n/);
  const status = Number(/^Status: (\d{3})/im.exec(head)?.[1] ?? 200);
  const body = Buffer.from(
    stdout
      .toString('latin1')
      .slice(head.length)
      .replace(/^\r?\n\r?\n/, ''),
    'latin1',
  );
  if (rest.length === 0 || status !== expected.status || !matches(body, expected.body)) {
    const had = JSON.stringify(stdout.toString('latin1', 0, 200));
    turn.suspect(
      tag,
      `raw: expected ${String(expected.status)} ${String(expected.body).slice(0, 200)}, had ${had}`,
    );
  }
}

/** Runs this with a connection, which is closed after it in any case. */
async function connected(turn: Turn, run: (connection: Requester) => Promise<void>): Promise<void> {
  const connection = connect(turn.stage.dir.socket);
  const close = (): void => {
    connection.close();
  };
  turn.signal.addEventListener('abort', close);
  try {
    await run(connection);
  } finally {
    turn.signal.removeEventListener('abort', close);
    connection.close();
  }
}

/** A request among others on one connection. */
async function one(turn: Turn, connection: Requester, requestId: number): Promise<void> {
  if (turn.random.once(3)) {
    const tag = turn.tag('completed');
    const body = turn.body(100_000);
    const sent = send(turn, connection, tag, ECHOES, { requestId, keepConn: true, body });
    await compare(turn, tag, sent, { status: 200, body, end: 'completed' });
  } else {
    const { script, ...expected } = turn.random.pick(cases);
    const tag = turn.tag(expected.end);
    const sent = send(turn, connection, tag, script, { requestId, keepConn: true });
    await compare(turn, tag, sent, expected);
  }
}

/** The process id that a script says first. */
async function pidFrom(stream: SentRequest['stdout']): Promise<number> {
  let text = '';
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    text += (chunk as Buffer).toString('latin1');
    const pid = /^(\d+)\n/m.exec(text)?.[1];
    if (pid !== undefined) return Number(pid);
  }
  throw new Error(`no process id: ${JSON.stringify(text)}`);
}

export const rawLoads: readonly Load[] = [
  {
    name: 'multiplexed requests',
    weight: 8,
    run: (turn) =>
      connected(turn, async (connection) => {
        for (let rounds = 1 + turn.random.below(2); rounds > 0; rounds--) {
          const ids = Array.from(
            { length: 2 + turn.random.below(MAX_REQUESTS - 2) },
            (_, index) => index + 1,
          );
          await Promise.all(ids.map((id) => one(turn, connection, id)));
        }
      }),
  },
  {
    name: 'one aborted among others',
    weight: 4,
    run: (turn) =>
      connected(turn, async (connection) => {
        const others = [1, 2, 3].map((id) => one(turn, connection, id));
        const tag = turn.tagOfAborted();
        const script = turn.random.pick([STALLS, NEVER_ANSWERS, ECHOES]);
        const sent = send(turn, connection, tag, script, { requestId: 4, keepConn: true });
        sent.stdout.resume();
        sent.stderr.resume();
        await delay(turn.random.below(30));
        sent.abort();
        await Promise.all([...others, sent.ended]);
      }),
  },
  {
    name: 'connections closed halfway',
    weight: 4,
    run: (turn) =>
      connected(turn, async (connection) => {
        for (let requestId = 1; requestId <= 3; requestId++) {
          const script = turn.random.pick([STALLS, NEVER_ANSWERS, ...cases.map((each) => each.script)]);
          send(turn, connection, turn.tagOfAborted(), script, { requestId, keepConn: true });
        }
        await delay(turn.random.below(50));
      }),
  },
  {
    name: 'killed before an answer',
    weight: 2,
    run: (turn) =>
      connected(turn, async (connection) => {
        const tag = turn.tag('no-header');
        const sent = send(turn, connection, tag, SAYS_PID);
        process.kill(await pidFrom(sent.stderr), 'SIGKILL');
        await compare(turn, tag, sent, { status: 502, body: /could not make this page/, end: 'no-header' });
      }),
  },
  {
    name: 'killed in an answer',
    weight: 2,
    run: (turn) =>
      connected(turn, async (connection) => {
        const sent = send(turn, connection, turn.tag('cut-short'), STALLS);
        process.kill(await pidFrom(sent.stdout), 'SIGKILL');
        sent.stdout.resume();
        sent.stderr.resume();
        const { appStatus } = await sent.ended;
        if (appStatus !== 137) throw new Error(`appStatus ${String(appStatus)} after SIGKILL, expected 137`);
      }),
  },
  {
    name: 'scripts that hang',
    weight: 1,
    run: (turn) =>
      connected(turn, async (connection) => {
        const tag = turn.tag('start-timeout');
        const sent = send(turn, connection, tag, NEVER_ANSWERS);
        await compare(turn, tag, sent, { status: 504, body: /took too long to make/, end: 'start-timeout' });
      }),
  },
  {
    name: 'params that are too large',
    weight: 2,
    run: (turn) =>
      connected(turn, async (connection) => {
        // Params that were not kept can't be logged: the request has a line, but no tag.
        const huge = ['HTTP_HUGE', 'h'.repeat(300_000)] as const;
        const sent = send(turn, connection, 'none', ECHOES, { more: [huge] });
        sent.stderr.resume();
        const [stdout] = await Promise.all([buffer(sent.stdout), sent.ended]);
        const had = stdout.toString('latin1', 0, 200);
        if (!had.startsWith('Status: 431 ')) throw new Error(`expected 431, had ${had}`);
      }),
  },
  {
    name: 'mutated record streams',
    weight: 10,
    run: async ({ stage, number }) => {
      for (let each = 0; each < STREAMS; each++) {
        const stream = makeStream(number, each, stage.root);
        const target = {
          socket: stage.dir.socket,
          maxRequests: MAX_REQUESTS,
          patienceMs: STREAM_PATIENCE_MS,
        };
        await play(stream, target).catch((error: unknown) => {
          throw new Error(`stream ${String(each)} of seed ${String(number)}: ${String(error)}`);
        });
      }
    },
  },
];
