/** What FastCGI 1.0 and the README promise to who sends certain octets, as far as it does not depend on timing. */

const [BEGIN, ABORT, PARAMS, STDIN, DATA, GET_VALUES, UNKNOWN_TYPE] = [1, 2, 4, 5, 8, 9, 11];

interface Active {
  readonly keepConn: boolean;
  /** Once its params are complete a request may be answered at any time; it must be when its STDIN is. */
  at: 'params' | 'stdin' | 'complete';
}

/**
 * Follows a stream record by record. While `isSure`, the daemon must do exactly what the rest says. Where it may have
 * ended a request already or not, and a record means one thing in one case and another in the other, it is not sure.
 */
export class Model {
  isSure: boolean;
  /** The connection must be closed on its sender. */
  isFatal = false;
  /** How many END_REQUESTs must come, by request id. */
  readonly ends = new Map<number, number>();
  /** How many BEGIN_REQUESTs were sent, by request id, whatever becomes of them. */
  readonly begins = new Map<number, number>();
  /** How many GET_VALUES_RESULT and UNKNOWN_TYPE records must come. */
  managed = 0;

  readonly #maxRequests: number;
  readonly #active = new Map<number, Active>();
  #rest: Buffer = Buffer.alloc(0);
  #skip = 0;
  /** A request that did not keep the connection may have ended: new ones are refused, or all is ignored. */
  #mayDrain = false;
  #isFinished = false;
  /** Without framing there are no records. */
  #isLost = false;

  constructor(maxRequests: number, { isSure }: { isSure: boolean }) {
    this.#maxRequests = maxRequests;
    this.isSure = isSure;
  }

  /** The daemon must end the connection by itself. */
  get mustClose(): boolean {
    const allComplete = [...this.#active.values()].every(({ at }) => at === 'complete');
    return this.isFatal || this.#isFinished || (this.#mayDrain && allComplete);
  }

  /** How many END_REQUESTs may come for a request id, besides those that must. */
  mayEnd(id: number): number {
    return this.#active.get(id)?.at === 'stdin' ? 1 : 0;
  }

  take(octets: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, octets]);
    for (;;) {
      const skipped = Math.min(this.#skip, this.#rest.length);
      this.#rest = this.#rest.subarray(skipped);
      this.#skip -= skipped;
      const header = this.#rest;
      if (header.length < 8 || this.isFatal || this.#isLost) return;
      const [type, id, contentBytes] = [header.readUInt8(1), header.readUInt16BE(2), header.readUInt16BE(4)];
      const isStream = type >= PARAMS && type <= DATA;
      // Of a stream record the first octet says what is right or wrong, of others the whole.
      if (header[0] === 1 && header.length < 8 + (isStream ? Math.min(1, contentBytes) : contentBytes))
        return;
      this.#rest = header.subarray(8);
      this.#skip = contentBytes + header.readUInt8(6);
      this.#isLost = header[0] !== 1;
      if (this.#isLost) this.#fatal();
      else if (id === 0) this.#manage(type, this.#rest.subarray(0, contentBytes));
      else if (isStream) this.#stream(type, id, contentBytes === 0);
      else this.#control(type, id, this.#rest.subarray(0, contentBytes));
    }
  }

  /** All that had to be answered was. */
  settled(): void {
    for (const [id, { at }] of this.#active) if (at === 'complete') this.#active.delete(id);
    this.#isFinished ||= this.#mayDrain && this.#active.size === 0;
  }

  #manage(type: number, content: Buffer): void {
    if (type === GET_VALUES && !pairsFit(content)) this.#fatal();
    else if (type !== GET_VALUES && type !== 0 && type <= UNKNOWN_TYPE) this.#fatal();
    else if (this.#isFinished) return;
    else if (this.#mayDrain) this.isSure = false;
    else this.managed += 1;
  }

  #control(type: number, id: number, content: Buffer): void {
    const active = this.#active.get(id);
    if (type === BEGIN) {
      this.#begin(id, active, content);
    } else if (type === ABORT) {
      if (active === undefined || this.#isFinished) return;
      this.#active.delete(id);
      if (active.at !== 'complete') this.#mustEnd(id);
      this.#ended(active.keepConn);
    } else if (type !== 0 && type !== GET_VALUES && type <= UNKNOWN_TYPE) {
      this.#fatal();
    }
  }

  #begin(id: number, active: Active | undefined, content: Buffer): void {
    this.begins.set(id, (this.begins.get(id) ?? 0) + 1);
    if (content.length !== 8 || active?.at === 'params') {
      this.#fatal();
    } else if (!this.#isFinished) {
      if (active !== undefined || this.#mayDrain || this.#active.size >= this.#maxRequests)
        this.isSure = false;
      const keepConn = (content.readUInt8(2) & 1) !== 0;
      if (content.readUInt16BE(0) === 1) {
        this.#active.set(id, { keepConn, at: 'params' });
      } else {
        this.#mustEnd(id);
        this.#ended(keepConn);
      }
    }
  }

  #stream(type: number, id: number, isEnd: boolean): void {
    const active = this.#active.get(id);
    if (active === undefined || type === DATA) return;
    if (type === PARAMS && active.at === 'params') {
      if (!isEnd) return;
      active.at = 'stdin';
      this.#mayDrain ||= !active.keepConn;
    } else if (active.at === 'params') {
      this.#fatal();
    } else if (type === STDIN && (isEnd || active.at === 'stdin')) {
      if (!isEnd || active.at === 'complete') return;
      active.at = 'complete';
      this.#mustEnd(id);
    } else {
      // Wrong for a request that is active, ignored for one that has ended.
      this.isSure = false;
    }
  }

  #mustEnd(id: number): void {
    this.ends.set(id, (this.ends.get(id) ?? 0) + 1);
  }

  #ended(keepConn: boolean): void {
    this.#mayDrain ||= !keepConn;
    this.#isFinished ||= !keepConn && this.#active.size === 0;
  }

  #fatal(): void {
    if (this.#isFinished) return;
    if (this.#mayDrain) this.isSure = false;
    // Where the daemon may have taken an earlier record otherwise, it may take this one otherwise too.
    else if (this.isSure) this.isFatal = true;
  }
}

/** Whether the pairs of a GET_VALUES record end where it ends (FastCGI 1.0 §3.4). */
function pairsFit(content: Buffer): boolean {
  let offset = 0;
  const length = (): number => {
    const first = content[offset] ?? 0x80;
    offset += first < 0x80 ? 1 : 4;
    if (first < 0x80) return first;
    return offset <= content.length ? content.readUInt32BE(offset - 4) & 0x7fff_ffff : Infinity;
  };
  while (offset < content.length) {
    const pairBytes = length() + length();
    offset += pairBytes;
  }
  return offset === content.length;
}
