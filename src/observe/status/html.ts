/** A status for people at a browser: one page that needs nothing else, with nothing in it that the network can forge. */

import { createHash } from 'node:crypto';

import escapeHtml from 'escape-html';

import { resultWords } from '../../base/results.js';
import { visible } from '../escape.js';
import { bound, byOutcome, duration, percentiles, size } from './quantities.js';
import type { Distribution, RequestStatus, SiteStatus, Status } from './status.js';

/** The page; with `refreshSeconds` it is loaded again after these. */
export function statusHtml(status: Status, refreshSeconds?: number): string {
  const { version, pid, state, startedAt, uptimeMs, memory, cpuMs, eventLoop, sites, requests } = status;
  const busy = ((100 * eventLoop.busyMs) / Math.max(1, uptimeMs)).toFixed(1);
  const refresh =
    refreshSeconds === undefined ? '' : `<meta http-equiv="refresh" content="${String(refreshSeconds)}">`;
  return `<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="robots" content="noindex">
${refresh}<title>fcgi2cgi: ${String(requests.length)} active</title>
<style>${STYLE}</style></head>
<body><main>
<h1>fcgi2cgi ${text(version)}</h1>
<p><span class="${state}">${state}</span>, process ${String(pid)}, up ${duration(uptimeMs)} (since ${text(startedAt)})</p>
<p>memory ${size(memory.residentBytes)}, heap ${size(memory.heapBytes)}, CPU ${duration(cpuMs)}, event loop busy ${busy} % of the time, now ${duration(eventLoop.delayMs)} behind</p>
<p class="quiet">this page: ${links(refreshSeconds)}</p>
<h2>Requests</h2>
${requestTable(requests)}
${sites.map(siteSection).join('\n')}
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

function siteSection(site: SiteStatus): string {
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

function meter(value: number, max: number, more = ''): string {
  return `<meter value="${String(Math.min(value, max))}" max="${String(max || 1)}"${more}></meter>`;
}

/** One whose colour says that little is left, and that nothing is. */
function gauge(value: number, max: number): string {
  return meter(value, max, ` low="${String(0.75 * max)}" high="${String(0.99 * max)}" optimum="0"`);
}

/** Cells are HTML. A head that begins with `#` is of numbers, one with `~` of long text. */
function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const classes = heads.map((head) =>
    head.startsWith('#') ? ' class="n"' : head.startsWith('~') ? ' class="w"' : '',
  );
  const row = (tag: string, cells: readonly string[]): string =>
    `<tr>${cells.map((cell, at) => `<${tag}${classes[at] ?? ''}>${cell}</${tag}>`).join('')}</tr>`;
  const head = row(
    'th',
    heads.map((each) => each.replace(/^[#~]/, '')),
  );
  return `<div class="scroll" tabindex="0"><table><thead>${head}</thead><tbody>
${rows.map((cells) => row('td', cells)).join('\n')}
</tbody></table></div>`;
}

function text(value: string): string {
  return escapeHtml(visible(value));
}

function code(value: string): string {
  return `<code>${text(value)}</code>`;
}

function known(value: number | undefined): string {
  return value === undefined ? '' : String(value);
}

export const STYLE = `
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --quiet: #666; --alarm: #b00; }
@media (prefers-color-scheme: dark) { :root { --quiet: #a0a0a0; --alarm: #ff7b72; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; padding: 0 1rem; max-width: 75rem; }
h1 { font-size: 1.4rem; margin: 0; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .3rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.1rem 0 .2rem; }
p { margin: .2rem 0; }
table { border-collapse: collapse; margin: .4rem 0; }
th, td { text-align: left; vertical-align: top; padding: .15rem 1.2rem .15rem 0; white-space: nowrap; }
th { font-weight: 600; color: var(--quiet); }
tbody tr:nth-child(odd) { background: var(--soft); }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td.w { overflow-wrap: anywhere; white-space: normal; min-width: 10rem; }
.long { max-height: 4.5em; overflow-y: auto; }
code { font: 0.9em ui-monospace, monospace; }
.quiet { color: var(--quiet); }
.scroll { overflow-x: auto; }
.draining { color: var(--alarm); font-weight: 600; }
meter { width: 8rem; vertical-align: -.1em; }
@media (max-width: 40rem) { body { margin: 1rem auto; } th, td { padding-right: .7rem; } meter { width: 4rem; } }
`;

/** Nothing is loaded or run, wherever from; the page's own style alone holds. */
export const contentSecurityPolicy = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');
