/** The process whose place we take, as we see it. */

import { Socket } from 'node:net';

import { Inheritance } from './handover.js';
import { isConnectionMessage, type SuccessorMessage } from './messages.js';
import { tellListening } from './start-again.js';

export class Predecessor {
  readonly inheritance: Inheritance;
  /** Resolves when it has ended. */
  readonly ended: Promise<void>;

  private constructor(inheritance: Inheritance) {
    this.inheritance = inheritance;
    this.ended = new Promise((resolve) => {
      process.once('disconnect', resolve);
    });
    process.on('message', (message, socket: unknown) => {
      if (isConnectionMessage(message) && socket instanceof Socket) this.#take(socket, message.listener);
    });
  }

  /** The process that has started this one to take its place, if one has. */
  static find(): Predecessor | undefined {
    const inheritance = Inheritance.find();
    return inheritance && process.connected ? new Predecessor(inheritance) : undefined;
  }

  /** Tells it that we serve, so that it takes no new work. */
  async succeed(): Promise<void> {
    this.inheritance.closeRest();
    await tellListening(this.inheritance.taken);
  }

  /** Has it open its logs anew. */
  reopenLogs(): void {
    this.#tell({ kind: 'reopen' });
  }

  /** Has it end, as SIGTERM would. */
  stop(): void {
    this.#tell({ kind: 'stop' });
  }

  #take(socket: Socket, index: number): void {
    // As our own listeners make them.
    socket.allowHalfOpen = true;
    const listener = this.inheritance.heirOf(index);
    if (listener === undefined) socket.destroy();
    else listener.take(socket);
    this.#tell({ kind: 'taken' });
  }

  #tell(message: SuccessorMessage): void {
    if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
  }
}
