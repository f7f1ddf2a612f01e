/** Makes streams that nobody meant: each mutation is one thing that a broken or hostile peer may do. */

import type { Corpus, Turns } from './corpus.js';
import type { Random } from './random.js';

/** Sets one octet or two of a record's header: 0 version, 1 type, 2 id, 4 content length, 6 padding. */
function headerChange(random: Random, record: Buffer): Buffer {
  const changed = Buffer.from(record);
  if (changed.length < 8) return changed;
  switch (random.below(6)) {
    case 0:
      changed[0] = random.below(256);
      break;
    case 1:
      changed[1] = random.once(4) ? random.below(256) : random.below(13);
      break;
    case 2:
      changed.writeUInt16BE(random.once(2) ? random.below(4) : random.below(65_536), 2);
      break;
    case 3:
      // A lie by a few octets cuts the next records elsewhere; a large one swallows them.
      changed.writeUInt16BE((changed.readUInt16BE(4) + random.below(17) - 8) & 0xffff, 4);
      break;
    case 4:
      changed.writeUInt16BE(random.pick([0, 1, 7, 65_535, random.below(65_536)]), 4);
      break;
    default:
      changed[6] = random.below(256);
  }
  return changed;
}

function octetChange(random: Random, record: Buffer): Buffer {
  const at = random.below(record.length + 1);
  const to = Math.min(record.length, at + random.below(20));
  const before = record.subarray(0, at);
  switch (random.below(4)) {
    case 0: {
      const changed = Buffer.from(record);
      if (at < changed.length) changed[at] = changed.readUInt8(at) ^ (1 << random.below(8));
      return changed;
    }
    case 1:
      return Buffer.concat([before, record.subarray(to)]);
    case 2:
      return Buffer.concat([before, record.subarray(at, to), record.subarray(at)]);
    default:
      return Buffer.concat([before, random.octets(random.below(12)), record.subarray(at)]);
  }
}

/** Applies none to four mutations. */
export function mutate(turns: Turns, random: Random, corpus: Corpus): Turns {
  for (let count = random.below(5); count > 0; count--) {
    const records = random.pick(turns);
    const at = random.below(records.length);
    const record = records[at];
    if (record === undefined) continue;
    const other = random.below(records.length);
    switch (random.below(10)) {
      case 0:
      case 1:
      case 2:
        records[at] = headerChange(random, record);
        break;
      case 3:
      case 4:
        records[at] = octetChange(random, record);
        break;
      case 5:
        records.splice(at, 1);
        break;
      case 6:
        records.splice(other, 0, record);
        break;
      case 7:
        records[at] = records[other] ?? record;
        records[other] = record;
        break;
      case 8:
        records.splice(at, 0, corpus.hostile());
        break;
      default: {
        const spliced = corpus.turns().flat();
        records.splice(at, random.below(3), ...spliced.slice(random.below(spliced.length)));
      }
    }
    if (records.length === 0) records.push(Buffer.alloc(0));
  }
  return turns;
}
