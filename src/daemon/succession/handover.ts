/** What a daemon leaves to the one that takes its place: the sockets it listens on, and its pid file. */

import { closeSync } from 'node:fs';

import { BridgeError } from '../../errors.js';
import { type Address, formatAddress } from '../address.js';
import { Listener, type ListenerOptions, type Legacy } from '../listener.js';
import type { PidFile } from '../pid-file.js';
import type { PassedSocket } from '../systemd/environment.js';

/** The variable of the environment in which it stands, as JSON. */
const VARIABLE = 'FCGI2CGI_HANDOVER';

/** The first descriptor after those that every process has. */
const FIRST = 3;

interface Contents {
  /** In the order of their descriptors, which begin at `FIRST`. */
  readonly sockets: readonly Omit<Legacy, 'descriptor'>[];
  readonly pid: number;
  /** The pid file's own descriptor comes after those of the sockets. */
  readonly pidFile: { readonly path: string; readonly isOpen: boolean } | undefined;
}

/** What a new process has to be started with to take over. */
export interface Bequest {
  /** Those of ours that are its descriptors from 3 on. */
  readonly descriptors: readonly number[];
  readonly env: Readonly<Record<string, string>>;
}

/** Puts together what there is to leave. @throws BridgeError `ERR_UPGRADE` where Node keeps the sockets to itself. */
export function bequeath(listeners: readonly Listener[], pidFile: PidFile | undefined): Bequest {
  const legacies = listeners.map((listener) => listener.legacy());
  const pidDescriptor = pidFile?.descriptor;
  const contents: Contents = {
    sockets: legacies.map(({ address, socket, file }) => ({ address, socket, file })),
    pid: process.pid,
    pidFile: pidFile && { path: pidFile.path, isOpen: pidDescriptor !== undefined },
  };
  const descriptors = legacies.map(({ descriptor }) => descriptor);
  return {
    descriptors: pidDescriptor === undefined ? descriptors : [...descriptors, pidDescriptor],
    env: { [VARIABLE]: JSON.stringify(contents) },
  };
}

/** What was left to this process. */
export class Inheritance {
  readonly #contents: Contents;
  /** Who has taken which of the sockets. */
  readonly #taken = new Map<number, Listener>();

  private constructor(contents: Contents) {
    this.#contents = contents;
  }

  /** Takes it out of the environment, where somebody has left anything. */
  static find(): Inheritance | undefined {
    const text = process.env[VARIABLE];
    // Not for whom we start ourselves.
    Reflect.deleteProperty(process.env, VARIABLE);
    return text === undefined ? undefined : new Inheritance(JSON.parse(text) as Contents);
  }

  /** The process that leaves it. */
  get pid(): number {
    return this.#contents.pid;
  }

  /** Its pid file, and the descriptor of that, if it has one. */
  get pidFile(): { readonly path: string; readonly descriptor: number | undefined } | undefined {
    const { pidFile, sockets } = this.#contents;
    if (pidFile === undefined) return undefined;
    return { path: pidFile.path, descriptor: pidFile.isOpen ? FIRST + sockets.length : undefined };
  }

  /**
   * The listener at that address, if there is one; it is the predecessor's still, until it accepts.
   *
   * @throws BridgeError `ERR_LISTEN` for a descriptor that was not left to us: ours have other numbers.
   */
  async take(address: Address, options: ListenerOptions): Promise<Listener | undefined> {
    const wanted = formatAddress(address);
    const { sockets } = this.#contents;
    const index = sockets.findIndex((each, at) => each.address === wanted && !this.#taken.has(at));
    const legacy = sockets[index];
    const descriptor = FIRST + index;
    const listener = legacy && (await Listener.inherit(address, { ...legacy, descriptor }, options));
    if (listener !== undefined) this.#taken.set(index, listener);
    else if (address.kind === 'fd') {
      throw new BridgeError(
        'ERR_LISTEN',
        `${wanted}: an upgrade has no descriptors but those that were listened on`,
      );
    }
    return listener;
  }

  /** Those of the sockets that systemd has passed to a predecessor. */
  get passedSockets(): readonly PassedSocket[] {
    return this.#contents.sockets.flatMap(({ address }, index) => {
      const name = /^systemd:(.*)$/s.exec(address)?.[1];
      return name === undefined ? [] : [{ name, descriptor: FIRST + index }];
    });
  }

  /** Who has taken the socket of that number, in the order in which they were left. */
  heirOf(index: number): Listener | undefined {
    return this.#taken.get(index);
  }

  /** The numbers of the sockets that were taken. */
  get taken(): readonly number[] {
    return [...this.#taken.keys()];
  }

  /** Lets go of the sockets that nobody has taken: whoever connected there would wait for ever. */
  closeRest(): void {
    this.#contents.sockets.forEach((_, index) => {
      if (!this.#taken.has(index)) closeSync(FIRST + index);
    });
  }
}
