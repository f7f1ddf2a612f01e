/** A status for people at a browser: one page that needs nothing else, with nothing in it that the network can forge. */

import { PERIODS, sum } from './history.js';
import { code, gauge, known, meter, siteGraphs, STYLE, table, text } from './markup.js';
import { bound, byOutcome, duration, percentiles, size } from './quantities.js';
import type { Distribution, EndedRequest, RequestStatus, SiteStatus, Status } from './status.js';
import { resultWords } from '../../base/results.js';

/** The page; with `refreshSeconds` it is loaded again after these. */
export function statusHtml(status: Status, refreshSeconds?: number): string {
  const busy = ((100 * status.eventLoop.busyMs) / Math.max(1, status.uptimeMs)).toFixed(1);
  const refresh =
    refreshSeconds === undefined ? '' : `<meta http-equiv="refresh" content="${String(refreshSeconds)}">`;
  return `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">
${refresh}<title>fcgi2cgi: ${String(status.requests.length)} active</title>
<style>${STYLE}</style></head>
<body><main>
<h1>fcgi2cgi ${text(status.version)}</h1>
<p><span class="${status.state}">${status.state}</span>, process ${String(status.pid)}, up ${duration(status.uptimeMs)} (since ${text(status.startedAt)})</p>
${overview(status.sites)}
<p class="quiet">memory ${size(status.memory.residentBytes)}, heap ${size(status.memory.heapBytes)}, CPU ${duration(status.cpuMs)}, event loop busy ${busy} % of the time, now ${duration(status.eventLoop.delayMs)} behind</p>
<p class="quiet">this page: ${links(refreshSeconds)}</p>
<h2>Active requests</h2>
${requestTable(status.requests)}
${processTable(status.requests)}
<h2>Last failed requests</h2>
${endedList(status.failed)}
<h2>Slowest requests of the last minutes</h2>
${endedList(status.slowest)}
${status.sites.map(siteSection).join('\n')}
</main></body>
</html>
`;
}

function links(refreshSeconds: number | undefined): string {
  const refresh =
    refreshSeconds === undefined
      ? '<a href="?refresh=5">again every 5 s</a>'
      : `again every ${String(refreshSeconds)} s (<a href="?">stop</a>)`;
  const others = ['text', 'json', 'prometheus'].map((format) => `<a href="?format=${format}">${format}</a>`);
  return [refresh, ...others].join(' · ');
}

/** A row and the graphs of each site, which are all that most visitors want to see. */
function overview(sites: readonly SiteStatus[]): string {
  const most = (value: number | undefined): string =>
    value === undefined ? '' : ` <span class="quiet">max ${String(value)}</span>`;
  const watched = sites.flatMap(({ name, activity }) => (activity === undefined ? [] : [{ name, activity }]));
  const [{ activity: any } = { activity: undefined }] = watched;
  const span = any === undefined ? '' : ` in ${duration(any.periodMs * PERIODS)}`;
  return `<div class="sites">${table(
    ['site', '#requests a second', '#running', '#waiting', `#errors${span}`],
    sites.map(({ name, slots, queue, activity }) => [
      // On a telephone, a host name goes on in the next line after a dot.
      text(name).replaceAll('.', '.<wbr>'),
      activity?.requestsPerSecond.toFixed(1) ?? '',
      `${String(slots)}${most(activity?.maxRunning)}`,
      `${String(queue)}${most(activity?.maxWaiting)}`,
      activity === undefined ? '' : errorCount(sum(activity.errors)),
    ]),
  )}</div>
${watched.map(({ name, activity }) => `${sites.length === 1 ? '' : `<h3>${text(name)}</h3>`}${siteGraphs(activity)}`).join('\n')}`;
}

function errorCount(count: number): string {
  return count === 0 ? '0' : `<span class="alarm">${String(count)}</span>`;
}

function requestTable(requests: readonly RequestStatus[]): string {
  if (requests.length === 0) return '<p class="quiet">None is active.</p>';
  return table(
    ['request', '~what', 'site', 'state', '#pid', '#age', '#in', '#out', '~client'],
    requests.map((each) => [
      code(each.id),
      `<div class="long" tabindex="0">${code(`${each.method} ${each.uri}`)}${each.script === undefined ? '' : ` <span class="quiet">by ${code(each.script)}</span>`}</div>`,
      text(each.site),
      each.state,
      known(each.pid),
      duration(each.ageMs),
      size(each.inBytes),
      size(each.outBytes),
      text(each.client),
    ]),
  );
}

function processTable(requests: readonly RequestStatus[]): string {
  const rows = requests.flatMap(({ id, processes }) =>
    processes.map(({ pid, command, cpuMs, residentBytes }) => [
      ...[code(id), String(pid), code(command), duration(cpuMs), size(residentBytes)],
    ]),
  );
  if (rows.length === 0) return '';
  return `<h3>Their processes</h3>${table(['request', '#pid', 'command', '#CPU', '#memory'], rows)}`;
}

function endedList(ended: readonly EndedRequest[]): string {
  if (ended.length === 0) return '<p class="quiet">None.</p>';
  const items = ended.map((each) => {
    const { status, queueMs, firstMs } = each;
    const times = each.times === 1 ? '' : ` × ${String(each.times)}`;
    const facts = [
      `<span class="result">${status === undefined ? '' : `${String(status)} `}${each.end}${times}</span>`,
      duration(each.totalMs),
      ...(queueMs === undefined ? [] : [`waited ${duration(queueMs)}`]),
      ...(firstMs === undefined ? [] : [`first byte after ${duration(firstMs)}`]),
      text(each.site),
      ...(each.client === '' ? [] : [text(each.client)]),
      code(each.id),
      `${each.endedAt.slice(0, 19).replace('T', ' ')} UTC`,
    ];
    return `<li>${code(`${each.method} ${each.uri}`)}${each.reason === '' ? '' : `<br>${text(each.reason)}`}
<div class="quiet">${facts.join(' · ')}</div></li>`;
  });
  return `<ul>${items.join('\n')}</ul>`;
}

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
  counts.ended.length === 0
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
