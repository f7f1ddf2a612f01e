/** What the streams are made from: records as web servers send them, and as none should. */

import { encodeParams } from '../../src/fastcgi/params.js';
import { begin, hex, record } from '../helpers/records.js';
import type { Random } from './random.js';

/** The records of one stream; a turn is sent when what the one before asked for was answered. */
export type Turns = Buffer[][];

const KEEP = 1;
const [BEGIN, ABORT, PARAMS, STDIN, DATA, GET_VALUES] = [1, 2, 4, 5, 8, 9];

/** Begins its answer and waits to be ended. */
const STALLS = 'stalls-in-body.sh';
/** Scripts of test/fixtures/cgi that may run, by how often they should: most streams must not start a process. */
const scripts = [
  ...Array<string>(8).fill('echoes-body.sh'),
  ...['answers-without-reading.sh', 'writes-stderr.sh', 'nph.sh', 'exits-3-after-body.sh', '1xx-first.sh'],
  ...['ends-without-header.sh', 'dies-in-body.sh', 'without-interpreter-line.sh', STALLS],
];

/** Makes valid streams for a daemon that runs what lies in `root`, and hostile ones. */
export class Corpus {
  readonly #root: string;
  readonly #random: Random;
  /** Whether a script was asked for that does not end by itself. */
  stalls = false;

  constructor(root: string, random: Random) {
    this.#root = root;
    this.#random = random;
  }

  /** A stream as it is before it is mutated. */
  turns(): Turns {
    const random = this.#random;
    switch (random.below(8)) {
      case 0:
        return Array.from({ length: 1 + random.below(3) }, () => this.request(1, { flags: KEEP }));
      case 1:
        return [this.#multiplexed()];
      case 2:
        return [this.#aborted()];
      case 3:
        return [[record(GET_VALUES, 0, this.#asked())], this.request(1)];
      case 4:
        return [this.request(this.#id(), { flags: random.below(4), role: random.below(5) })];
      case 5:
        return [Array.from({ length: 1 + random.below(4) }, () => this.hostile())];
      default:
        return [this.request(this.#id())];
    }
  }

  /** The records of a whole request; PARAMS and STDIN in pieces. */
  request(id: number, { flags = 0, role = 1 } = {}): Buffer[] {
    const random = this.#random;
    const body = random.once(2)
      ? random.octets(random.once(10) ? random.below(3_000) : random.below(40))
      : '';
    return [
      begin(id, { flags, role }),
      ...this.#pieces(PARAMS, id, encodeParams(this.#params(body.length))),
      record(PARAMS, id),
      ...this.#pieces(STDIN, id, random.once(200) ? Buffer.alloc(100_000, 'x') : Buffer.from(body)),
      record(STDIN, id),
    ];
  }

  /** One record, or a few octets, that no web server should send. */
  hostile(): Buffer {
    const random = this.#random;
    const id = random.below(3);
    switch (random.below(9)) {
      case 0:
        return record(random.below(256), id, random.octets(random.below(20)));
      case 1:
        return record(BEGIN, id, random.octets(random.below(12)));
      case 2:
        return record(GET_VALUES, 0, hex('ff ff ff ff 80 00 00 00'));
      case 3:
        return record(random.pick([PARAMS, STDIN, DATA]), id, random.octets(1 + random.below(300)));
      case 4:
        return record(random.pick([PARAMS, STDIN, ABORT]), id);
      case 5:
        return record(random.pick([PARAMS, 200]), id, Buffer.alloc(65_535), { paddingBytes: 255 });
      case 6:
        return Buffer.concat(Array<Buffer>(200).fill(record(GET_VALUES, 0, this.#asked())));
      case 7:
        return Buffer.concat([
          begin(1, { flags: KEEP }),
          record(PARAMS, 1, hex('81 00 00 00 7f 41')),
          record(PARAMS, 1),
        ]);
      default:
        return random.octets(random.below(40));
    }
  }

  #multiplexed(): Buffer[] {
    const random = this.#random;
    let queues = Array.from({ length: 2 + random.below(9) }, (_, index) =>
      this.request(index + 1, { flags: KEEP }),
    );
    const mixed: Buffer[] = [];
    while (queues.length > 0) {
      mixed.push(...random.pick(queues).splice(0, 1 + random.below(4)));
      queues = queues.filter((queue) => queue.length > 0);
    }
    return mixed;
  }

  #aborted(): Buffer[] {
    const id = this.#id();
    const records = this.request(id, { flags: KEEP });
    const stage = 1 + this.#random.below(records.length);
    return [...records.slice(0, stage), record(ABORT, id)];
  }

  #id(): number {
    return this.#random.pick([1, 1, 1, 2, 255, 256, 65_535]);
  }

  #pieces(type: number, id: number, content: Buffer): Buffer[] {
    const random = this.#random;
    const most = random.pick([Math.max(1 + random.below(20), content.length >> 7), 200, 65_535]);
    const records: Buffer[] = [];
    for (let offset = 0; offset < content.length; offset += most) {
      const paddingBytes = random.once(3) ? random.below(256) : 0;
      records.push(record(type, id, content.subarray(offset, offset + most), { paddingBytes }));
    }
    return records;
  }

  #params(bodyBytes: number): [string, string][] {
    const random = this.#random;
    const name = random.once(30) ? random.pick(scripts) : 'absent.cgi';
    this.stalls ||= name === STALLS;
    const params: [string, string][] = [
      ['SCRIPT_FILENAME', `${this.#root}/${name}`],
      ['REQUEST_METHOD', random.pick(['GET', 'POST', ''])],
      ['CONTENT_LENGTH', bodyBytes === 0 ? '' : String(bodyBytes)],
    ];
    if (random.once(3)) params.push(['QUERY_STRING', random.octets(random.below(200)).toString('latin1')]);
    if (random.once(40)) params.push(['HTTP_BIG', 'b'.repeat(random.below(20_000))]);
    if (random.once(100)) params.push(['HTTP_HUGE', 'h'.repeat(200_000 + random.below(100_000))]);
    return params;
  }

  #asked(): Buffer {
    const names = ['FCGI_MAX_CONNS', 'FCGI_MAX_REQS', 'FCGI_MPXS_CONNS', 'FCGI_OTHER', ''];
    return encodeParams(names.filter(() => this.#random.once(2)).map((name) => [name, '']));
  }
}
