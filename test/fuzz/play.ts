/** Sends one stream to the daemon and holds what comes back against what had to come. */

import { once } from 'node:events';
import { createConnection } from 'node:net';
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';

import { Answers } from './answers.js';
import { Model } from './model.js';
import type { Stream } from './stream.js';

export interface PlayOptions {
  readonly socket: string;
  readonly maxRequests: number;
  readonly patienceMs: number;
}

/** Resolves when the connection is gone. @throws Error that says what was wrong with the answers. */
export async function play(
  stream: Stream,
  { socket: path, maxRequests, patienceMs }: PlayOptions,
): Promise<void> {
  const model = new Model(maxRequests, { isSure: !stream.stalls });
  const answers = new Answers();
  const socket = createConnection({ path, allowHalfOpen: true });
  let isClosed = false;
  let problem: unknown;
  let look = (): void => undefined;
  const close = (): void => {
    isClosed = true;
    look();
  };
  // The daemon may cut the connection under what is still being sent.
  socket
    .on('error', () => undefined)
    .once('end', close)
    .once('close', close);
  await once(socket, 'connect');
  if (stream.leave !== 'deaf') {
    socket.on('data', (chunk: Buffer) => {
      try {
        answers.push(chunk);
      } catch (error) {
        problem ??= error;
      }
      look();
    });
  }

  /** Waits for what must come in any case. */
  const wait = (what: string, condition: () => boolean): Promise<void> =>
    new Promise((resolve, reject) => {
      const patience = setTimeout(() => {
        const had = JSON.stringify({ ends: [...answers.ends], managed: answers.managed, isClosed });
        const wanted = JSON.stringify({ ends: [...model.ends], managed: model.managed });
        reject(
          new Error(`${what} did not come within ${String(patienceMs)} ms; expected ${wanted}, had ${had}`),
        );
      }, patienceMs);
      look = () => {
        if (problem === undefined && !condition()) return;
        clearTimeout(patience);
        resolve();
      };
      look();
    });
  const isAnswered = (): boolean =>
    [...model.ends].every(([id, count]) => (answers.ends.get(id) ?? 0) >= count) &&
    answers.managed >= model.managed;

  try {
    for (const octets of stream.turns) {
      model.take(octets);
      const most = stream.cut ?? Math.max(1, octets.length);
      for (let offset = 0; offset < octets.length && !socket.destroyed; offset += most) {
        socket.write(octets.subarray(offset, offset + most));
        if (stream.cut !== undefined) await turn();
      }
      if (stream.leave !== 'wait' || !model.isSure || model.isFatal) continue;
      await wait('an answer', isAnswered);
      model.settled();
    }
    if (stream.leave === 'destroy') return;
    if (stream.leave === 'deaf') {
      await delay(stream.number % 10);
      return;
    }
    const isCertain = stream.leave === 'wait' && model.isSure;
    if (isCertain && model.mustClose) await wait('the end of the connection', () => isClosed);
    else if (stream.leave === 'wait') await delay(stream.number % 5);
    socket.end();
    await wait('the end of the connection that its sender has ended', () => isClosed);
    if (problem === undefined) compare(isCertain && !model.isFatal, model, answers);
  } finally {
    socket.destroy();
    // oxlint-disable-next-line no-unsafe-finally -- what came is worth more than what then did not
    if (problem instanceof Error) throw problem;
  }
}

function compare(isCertain: boolean, model: Model, answers: Answers): void {
  for (const id of new Set([...model.begins.keys(), ...answers.ends.keys()])) {
    const had = answers.ends.get(id) ?? 0;
    const least = isCertain ? (model.ends.get(id) ?? 0) : 0;
    const most = isCertain ? least + model.mayEnd(id) : (model.begins.get(id) ?? 0);
    if (had < least || had > most) {
      const expected = `${String(least)} to ${String(most)} times`;
      throw new Error(`request ${String(id)} was ended ${String(had)} times, expected ${expected}`);
    }
  }
  if (isCertain && answers.managed !== model.managed) {
    throw new Error(`${String(answers.managed)} management records, expected ${String(model.managed)}`);
  }
}
