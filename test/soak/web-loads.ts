/** Loads that come through real web servers to the scripts. */

import type { Load, Turn } from './load.js';
import { cases, DESCRIPTORS, ECHOES, NEVER_ANSWERS, STALLS, truncated, WRITES } from './scripts.js';
import type { FrontEnd } from './stage.js';

const at = (script: string, query = '') => {
  return (tag: string): string => `/${script}?${query}soak=${tag}`;
};
const anyOf = ({ stage, random }: Turn): FrontEnd => random.pick(stage.webServers);
/** The others learn that nobody waits for an answer only when there is more of it to be sent. */
const noticing = ({ stage, random }: Turn): FrontEnd =>
  random.pick(stage.webServers.filter(({ name }) => name.startsWith('nginx')));

const up = async (turn: Turn, mostBytes: number, pauseMs?: number): Promise<void> => {
  const body = turn.body(mostBytes);
  const asked = { url: anyOf(turn).url, body, ...(pauseMs !== undefined && { pauseMs }) };
  await turn.get(asked, at(ECHOES), { status: 200, body, end: 'completed' });
};
const down = async (turn: Turn, bytes: number, pauseMs?: number): Promise<void> => {
  const asked = { url: anyOf(turn).url, ...(pauseMs !== undefined && { pauseMs }) };
  const expected = { status: 200, body: Buffer.alloc(bytes), end: 'completed' };
  await turn.get(asked, at(WRITES, `${String(bytes)}&`), expected);
};

export const webLoads: readonly Load[] = [
  {
    name: 'scripts, good and bad',
    weight: 30,
    run: async (turn) => {
      const { script, ...expected } = turn.random.pick(cases);
      await turn.get({ url: anyOf(turn).url }, at(script), expected);
    },
  },
  {
    name: 'scripts that die in their answer',
    weight: 4,
    run: (turn) => {
      const [script, written] = turn.random.pick(truncated);
      return turn.getTruncated({ url: anyOf(turn).url }, at(script), written);
    },
  },
  {
    name: 'descriptors of a script',
    weight: 4,
    run: (turn) => {
      const expected = { status: 200, body: turn.stage.descriptors, end: 'completed' };
      return turn.get({ url: anyOf(turn).url }, at(DESCRIPTORS), expected);
    },
  },
  { name: 'uploads', weight: 12, run: (turn) => up(turn, 200_000) },
  { name: 'downloads', weight: 8, run: (turn) => down(turn, turn.random.below(3_000_000)) },
  { name: 'uploads, slow', weight: 3, run: (turn) => up(turn, 50_000, 40) },
  { name: 'downloads, slow', weight: 3, run: (turn) => down(turn, 4_000_000, 20) },
  {
    name: 'uploads, left halfway',
    weight: 4,
    run: (turn) => {
      const body = Buffer.alloc(500_000, 'x');
      return turn.abandon({ url: anyOf(turn).url, body, leave: 'half-sent' }, at(ECHOES));
    },
  },
  {
    name: 'downloads, left halfway',
    weight: 4,
    run: (turn) => turn.abandon({ url: anyOf(turn).url, leave: 'first-octets' }, at(WRITES, '20000000&')),
  },
  {
    name: 'hanging scripts, left alone',
    weight: 3,
    run: (turn) => {
      const script = turn.random.pick([NEVER_ANSWERS, STALLS]);
      return turn.abandon({ url: noticing(turn).url, leave: 'sent' }, at(script));
    },
  },
];
