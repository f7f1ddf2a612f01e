/** Kills processes of requests at random, as the system does when it runs out of memory. */

import { readFileSync } from 'node:fs';

import type { Random } from '../fuzz/random.js';
import { childrenOf } from '../helpers/processes.js';
import type { Ledger } from './ledger.js';
import type { Stage } from './stage.js';

/** One of the tagged requests' processes, if there is any; who has no tag could not be told from the wrongly answered. */
export function killOne(stage: Stage, ledger: Ledger, random: Random): void {
  const victims = [stage.dir, stage.hg].flatMap(({ pid }) => childrenOf(pid)).filter(isTagged);
  if (victims.length === 0) return;
  const victim = random.pick(victims);
  try {
    process.kill(victim, 'SIGKILL');
    ledger.killedPids.add(victim);
  } catch {
    // It has ended by itself.
  }
}

function isTagged(pid: number): boolean {
  try {
    return /\0QUERY_STRING=[^\0]*soak=/.test(readFileSync(`/proc/${String(pid)}/environ`, 'latin1'));
  } catch {
    return false;
  }
}
