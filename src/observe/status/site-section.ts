/** A site's part of the status page: what it has taken of what it may, how its requests ended and how long they took. */

import { resultWords } from '../../base/results.js';
import { code, gauge, known, meter, table, text } from './markup.js';
import { bound, byOutcome, duration, percentiles, size } from './quantities.js';
import type { Distribution, SiteStatus } from './status.js';

export function siteSection(site: SiteStatus): string {
  const { name, kind, listen, counts, warm, workers } = site;
  const { classes, rows } = byOutcome(counts.ended, resultWords);
  const usage = [
    ['slots', site.slots, site.maxSlots],
    ['queue', site.queue, site.maxQueue],
    ['connections', site.connections, site.maxConnections],
  ] as const;
  return `<h2>${text(name)}${name === kind ? '' : ` <span class="quiet">${text(kind)}</span>`}</h2>
<p>${listen.length === 0 ? 'no listener' : listen.map(code).join(', ')}</p>
${table(
  ['now', '#taken', '#of', 'share'],
  usage.map(([what, value, max]) => [what, String(value), String(max), gauge(value, max)]),
)}
<p>${String(site.processesStarted)} processes started${warm === undefined ? '' : `, ${String(warm.forks)} of them forked`}; ${size(counts.receivedBytes)} in, ${size(counts.sentBytes)} out</p>
${
  counts.total.count === 0
    ? '<p class="quiet">No request has ended.</p>'
    : `${table(
        ['ended', ...classes.map((each) => `#${each}`)],
        rows.map(([end, each]) => [end, ...each.map((count) => (count === 0 ? '' : String(count)))]),
      )}
<h3>Latency</h3>
<p>first byte: ${percentiles(counts.firstByte) || 'none'}<br>total: ${percentiles(counts.total)}</p>
${histogram(counts.firstByte, counts.total)}`
}
${
  warm === undefined
    ? ''
    : `<h3>Fork servers <span class="quiet">${String(warm.forkServersStarted)} started</span></h3>${
        warm.forkServers.length === 0
          ? '<p class="quiet">None runs.</p>'
          : table(
              ['~script', '#pid', 'state', '#age', '#forks', '#prepared'],
              warm.forkServers.map((each) => [
                code(each.script),
                known(each.pid),
                text(each.state),
                duration(each.ageMs),
                String(each.forks),
                String(each.prepared),
              ]),
            )
      }`
}
${
  workers === undefined
    ? ''
    : `<h3>Workers <span class="quiet">${String(workers.recycles)} recycled, ${String(workers.crashes)} crashed</span></h3>${table(
        ['#worker', 'state', '#age', '#requests'],
        workers.running.map((each) => [
          String(each.pid),
          text(each.state),
          duration(each.ageMs),
          String(each.requests),
        ]),
      )}`
}`;
}

/** How many requests took how long; bounds that nothing came near are left out. */
function histogram(firstByte: Distribution, total: Distribution): string {
  const each = ({ buckets }: Distribution): number[] =>
    buckets.map(({ count }, at) => count - (buckets[at - 1]?.count ?? 0));
  const [firsts, totals] = [each(firstByte), each(total)];
  const used = totals.map((count, at) => count + (firsts[at] ?? 0));
  const from = used.findIndex((count) => count > 0);
  const to = used.findLastIndex((count) => count > 0);
  const most = Math.max(...firsts, ...totals);
  return table(
    ['within', '#first byte', 'share', '#total', 'share'],
    total.buckets.slice(from, to + 1).map(({ maxMs }, at) => [
      maxMs === Infinity ? 'longer' : bound(maxMs),
      ...[firsts, totals].flatMap((counts) => {
        const count = counts[from + at] ?? 0;
        return [String(count), meter(count, most)];
      }),
    ]),
  );
}
