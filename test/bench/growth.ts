/** Whether the thousandth request costs what the tenth does: time and memory from a contender's start on. */

import type { Contender } from './contender.js';
import { heldMiB } from './memory.js';
import type { Progress } from './progress.js';
import type { Growth } from './result.js';
import { type Part, Stage } from './stage.js';
import type { Work } from './works.js';

/** Who is asked for what: the cheapest work of each kind, by those that might keep something from one to the next. */
const growing: Readonly<Record<string, readonly string[]>> = {
  'compiled CGI': ['ours', 'fcgiwrap', 'lighttpd mod_cgi', 'Apache mod_cgid'],
  'hg capabilities': ['ours, warm', 'hg serve'],
  'gitweb project list': ['ours, warm', 'ours, worker', 'gitweb --fcgi'],
};
const CONCURRENCY = 4;

export interface GrowthOptions {
  /** Numbers of requests since the start at which is looked, ascending. */
  readonly marks: readonly number[];
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** Those of these works and contenders whose growth is of interest. */
export function growingParts(works: readonly Work[], contenders: readonly Contender[]): Part[] {
  return works.flatMap((work) =>
    contenders
      .filter(({ name }) => growing[work.name]?.includes(name) === true)
      .map((contender) => ({ work, contender })),
  );
}

/** Starts them anew, as those that have been measured have a past. */
export async function measureGrowth(
  parts: readonly Part[],
  { marks, progress, signal }: GrowthOptions,
): Promise<Growth[]> {
  const stage = await Stage.open(parts, 0, signal, (what) => {
    progress.say(what);
  });
  try {
    const all: Growth[] = [];
    for (const part of parts) all.push(await growthOf(part, stage, { marks, progress, signal }));
    return all;
  } finally {
    await stage.close();
  }
}

async function growthOf(
  part: Part,
  stage: Stage,
  { marks, progress, signal }: GrowthOptions,
): Promise<Growth> {
  const { instance, url } = stage.running(part);
  const { work, contender } = part;
  const reached: Growth['marks'][number][] = [];
  for (const mark of marks) {
    signal.throwIfAborted();
    const requests = mark - (reached.at(-1)?.requests ?? 0);
    const one = async (): Promise<Growth['marks'][number]> => {
      const load = { concurrency: Math.min(CONCURRENCY, requests), requests, signal };
      const { seconds, failures } = await work.drive(url, stage.place, load);
      if (failures > 0) throw new Error(`${work.name}, ${contender.name}: ${String(failures)} failed`);
      return { requests: mark, msPerRequest: (1000 * seconds) / requests, pssMiB: heldMiB(instance.pid) };
    };
    const what = `growth: ${work.name}, ${contender.name}, ${String(mark)} requests`;
    reached.push(
      await progress.during('growth', requests, one, ({ msPerRequest, pssMiB }) => {
        return `${what}: ${msPerRequest.toFixed(2)} ms each, ${pssMiB.toFixed(1)} MiB`;
      }),
    );
  }
  return { work: work.name, contender: contender.name, marks: reached };
}
