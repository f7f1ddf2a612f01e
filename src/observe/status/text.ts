/** A status for people at a terminal. */

import { resultWords } from '../../base/results.js';
import { visible, word } from '../escape.js';
import { byOutcome, duration, percentiles, size } from './quantities.js';
import type { RequestStatus, SiteStatus, Status } from './status.js';

/** The rest of a longer URI is not shown. */
const MAX_URI = 200;

/** Lines of text; nothing in them does anything to a terminal, whatever has come from the network. */
export function statusText(status: Status): string {
  const { version, pid, state, uptimeMs, memory, eventLoop, cpuMs } = status;
  const { residentBytes, heapBytes } = memory;
  const busy = `${((100 * eventLoop.busyMs) / Math.max(1, uptimeMs)).toFixed(1)} %`;
  const lines = [
    `fcgi2cgi ${version}, process ${String(pid)}, ${state}, up ${duration(uptimeMs)}`,
    `memory ${size(residentBytes)} (heap ${size(heapBytes)}), CPU ${duration(cpuMs)}, event loop busy ${busy} of the time, now ${duration(eventLoop.delayMs)} behind`,
    ...status.sites.flatMap((site) => ['', ...siteLines(site)]),
    '',
    ...requestLines(status.requests),
  ];
  return lines.map((line) => `${visible(line).trimEnd()}\n`).join('');
}

function siteLines(site: SiteStatus): readonly string[] {
  const { name, kind, listen, counts, warm, workers } = site;
  const { classes, rows } = byOutcome(counts.ended, resultWords);
  const slots = `${String(site.slots)} of ${String(site.maxSlots)}`;
  const queue = `${String(site.queue)} of ${String(site.maxQueue)}`;
  const connections = `${String(site.connections)} of ${String(site.maxConnections)}`;
  return [
    `site ${name === kind ? name : `${name} (${kind})`} on ${listen.join(', ') || 'no listener'}`,
    `  now          ${slots} slots taken, ${queue} in the queue, ${connections} connections`,
    `  carried      ${size(counts.receivedBytes)} in, ${size(counts.sentBytes)} out`,
    `  processes    ${String(site.processesStarted)} started${warm === undefined ? '' : `, ${String(warm.forks)} of them forked`}`,
    ...(counts.total.count === 0
      ? ['  requests     none has ended']
      : [
          `  first byte   ${percentiles(counts.firstByte) || 'none'}`,
          `  total        ${percentiles(counts.total)}`,
          ...table([['ended', ...classes], ...rows.map(([end, each]) => [end, ...each.map(String)])]).map(
            (line) => `  ${line}`,
          ),
        ]),
    ...(warm === undefined
      ? []
      : listed(`${String(warm.forkServersStarted)} fork servers started`, [
          ['fork server', 'pid', 'state', 'age', 'forks', 'prepared'],
          ...warm.forkServers.map((each) => [
            word(each.script),
            known(each.pid),
            each.state,
            duration(each.ageMs),
            String(each.forks),
            String(each.prepared),
          ]),
        ])),
    ...(workers === undefined
      ? []
      : listed(`${String(workers.recycles)} workers recycled, ${String(workers.crashes)} crashed`, [
          ['worker', 'state', 'age', 'requests'],
          ...workers.running.map((each) => [
            String(each.pid),
            each.state,
            duration(each.ageMs),
            String(each.requests),
          ]),
        ])),
  ];
}

function requestLines(requests: readonly RequestStatus[]): readonly string[] {
  if (requests.length === 0) return ['no request runs'];
  return table([
    ['request', 'site', 'state', 'pid', 'age', 'in', 'out', 'client', 'what'],
    ...requests.map((each) => [
      each.id,
      each.site,
      each.state,
      known(each.pid),
      duration(each.ageMs),
      size(each.inBytes),
      size(each.outBytes),
      word(each.client) || '-',
      `${word(each.method) || '-'} ${word(shortened(each.uri))}${each.script === undefined ? '' : ` by ${word(each.script)}`}`,
    ]),
  ]);
}

function listed(summary: string, rows: readonly (readonly string[])[]): readonly string[] {
  const lines = rows.length > 1 ? table(rows) : [];
  return [`  ${summary}`, ...lines.map((line) => `  ${line}`)];
}

/** Rows under their heads; the columns are as wide as they must be. */
function table(rows: readonly (readonly string[])[]): readonly string[] {
  const shown = rows.map((row) => row.map(visible));
  const widths = (shown[0] ?? []).map((_, at) => Math.max(...shown.map((row) => row[at]?.length ?? 0)));
  return shown.map((row) => row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join('  '));
}

function shortened(uri: string): string {
  return uri.length > MAX_URI ? `${uri.slice(0, MAX_URI)}…` : uri || '-';
}

function known(value: number | undefined): string {
  return value === undefined ? '-' : String(value);
}
