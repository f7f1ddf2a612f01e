/** `npm run soak`: mixed load from several web servers on two daemons, for as long as it is told to; see `usage`. */

import { parseArgs } from 'node:util';

import { reasonOf } from '../../src/base/errors.js';
import { overload } from './overload.js';
import { runLoads } from './run.js';
import { summary } from './summary.js';

const usage = `usage: npm run soak -- [--seconds N | --loads N] [--seed S] [--users N] [--kind TEXT ...] [--settle N]
       npm run soak -- --overload [--kind TEXT ...] [--clients N]

Serves scripts and a Mercurial repository with the real daemon behind nginx, lighttpd and Apache, and has N users (12)
ask for N seconds (30), or for so many loads: pages, clones, uploads and downloads, slow ones and ones that are left in
the middle, scripts that crash, hang and are killed, mutated record streams, log files that are rotated. Each answer is
compared with what had to come; in the end nothing may be left, and each request have one line in the access log.
--kind runs only the loads whose name has TEXT in it. A script may take its --idle-timeout to end, so the daemons have N
seconds (40) to be idle in the end.

--overload has 1,000 and 3,000 clients ask at once, for a trivial script, a slow one and hgweb pages, of the bridge and of
fcgiwrap behind one nginx, with a light client beside them; with --clients, N clients each time. Ends with status 1 if the
bridge leaves a client without its own answer, refuses late or serves fewer than fcgiwrap.`;

const text = { type: 'string' } as const;
const { values } = parseArgs({
  options: {
    ...{ seconds: text, loads: text, seed: text, users: text, settle: text, clients: text },
    overload: { type: 'boolean' },
    kind: { type: 'string', multiple: true },
    help: { type: 'boolean' },
  },
});
const numbers = [values.seconds, values.loads, values.seed, values.users, values.settle, values.clients];
if (values.help === true || numbers.some((value) => value !== undefined && !/^\d+$/.test(value))) {
  console.log(usage);
  process.exit(values.help === true ? 0 : 2);
}
if (values.overload === true) {
  const clients = values.clients === undefined ? undefined : Number(values.clients);
  const isWell = await overload({ kinds: values.kind ?? [], clients }, (line) => {
    console.log(line);
  });
  process.exit(isWell ? 0 : 1);
}
const seed = Number(values.seed ?? Date.now() % 1_000_000);
const stopping = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    stopping.abort();
  });
}
try {
  const result = await runLoads({
    seed,
    seconds: Number(values.seconds ?? (values.loads === undefined ? 30 : Infinity)),
    loads: Number(values.loads ?? Infinity),
    users: Number(values.users ?? 12),
    settleSeconds: Number(values.settle ?? 40),
    kinds: values.kind ?? [],
    signal: stopping.signal,
    onProgress: (line) => {
      console.log(line);
    },
  });
  console.log(summary(result));
  if (result.unexpected.length > 0) {
    process.exitCode = 1;
    console.error(`repeat: npm run soak -- --seed ${String(seed)} --seconds ${result.seconds.toFixed()}`);
  }
} catch (error) {
  process.exitCode = 1;
  console.error(`soak: seed ${String(seed)}: ${reasonOf(error)}`);
}
