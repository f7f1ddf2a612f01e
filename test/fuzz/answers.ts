/** What comes back on a connection, held against FastCGI 1.0 whatever was sent. */

const [END_REQUEST, STDOUT, STDERR, GET_VALUES_RESULT, UNKNOWN_TYPE] = [3, 6, 7, 10, 11];

/** What an aborted request ends with, whose STDOUT may lack its end. */
const ABORTED = 143;

export class Answers {
  readonly ends = new Map<number, number>();
  managed = 0;
  readonly #stdoutEnded = new Set<number>();
  #rest: Buffer = Buffer.alloc(0);

  /** Takes octets in any cut. @throws Error for what no application may send. */
  push(chunk: Buffer): void {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= 8) {
      const contentBytes = this.#rest.readUInt16BE(4);
      const bytes = 8 + contentBytes + this.#rest.readUInt8(6);
      if (this.#rest[0] !== 1) throw new Error(`no record: ${this.#rest.toString('hex', 0, 16)}`);
      if (bytes > this.#rest.length) return;
      const [type, id] = [this.#rest.readUInt8(1), this.#rest.readUInt16BE(2)];
      this.#record(type, id, this.#rest.subarray(8, 8 + contentBytes));
      this.#rest = this.#rest.subarray(bytes);
    }
  }

  #record(type: number, id: number, content: Buffer): void {
    if (type === GET_VALUES_RESULT || type === UNKNOWN_TYPE) {
      if (id !== 0) throw new Error(`a management record with request id ${String(id)}`);
      this.managed += 1;
    } else if (type === STDOUT || type === STDERR) {
      if (type === STDERR) return;
      if (this.#stdoutEnded.has(id)) throw new Error(`STDOUT of request ${String(id)} goes on after its end`);
      if (content.length === 0) this.#stdoutEnded.add(id);
    } else if (type === END_REQUEST) {
      if (content.length !== 8) throw new Error(`END_REQUEST of ${String(content.length)} octets`);
      const [appStatus, protocolStatus] = [content.readUInt32BE(0), content.readUInt8(4)];
      if (protocolStatus > 3) throw new Error(`protocolStatus ${String(protocolStatus)}`);
      const wasHandled = protocolStatus === 0 && appStatus !== ABORTED;
      if (!this.#stdoutEnded.delete(id) && wasHandled) {
        throw new Error(`END_REQUEST ${String(id)} before the end of its STDOUT`);
      }
      this.ends.set(id, (this.ends.get(id) ?? 0) + 1);
    } else {
      throw new Error(`a record of type ${String(type)}, which no application sends`);
    }
  }
}
