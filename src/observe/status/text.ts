/** A status for people at a terminal. */

import { resultWords } from '../../base/results.js';
import { visible, word } from '../escape.js';
import { PERIODS, sum } from './history.js';
import { byOutcome, duration, percentiles, size } from './quantities.js';
import type { EndedRequest, RequestStatus, SiteStatus, Status } from './status.js';

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
    '',
    ...overview(status.sites),
    ...status.sites.flatMap((site) => ['', ...siteLines(site)]),
    '',
    ...requestLines(status.requests),
    ...endedLines('failed', status.failed),
    ...endedLines('slowest', status.slowest),
  ];
  return lines.map((line) => `${visible(line).trimEnd()}\n`).join('');
}

function overview(sites: readonly SiteStatus[]): readonly string[] {
  const most = (now: number, max: number | undefined): string =>
    max === undefined ? String(now) : `${String(now)} (max ${String(max)})`;
  return table([
    ['site', 'requests/s', 'running', 'waiting', 'errors'],
    ...sites.map(({ name, slots, queue, activity }) => [
      word(name),
      activity?.requestsPerSecond.toFixed(1) ?? '-',
      most(slots, activity?.maxRunning),
      most(queue, activity?.maxWaiting),
      activity === undefined
        ? '-'
        : `${String(sum(activity.errors))} in ${duration(activity.periodMs * PERIODS)}`,
    ]),
  ]);
}

/** What the graphs of the page show: each character stands for two periods. */
function graphs({ activity }: SiteStatus): readonly string[] {
  if (activity === undefined) return [];
  const { requests, running, waiting, errors, periodMs } = activity;
  const within = ` in ${duration(periodMs)}`;
  const series = [
    ['requests', requests, within],
    ['running', running, ''],
    ['waiting', waiting, ''],
    ['errors', errors, within],
  ] as const;
  return series.map(([label, values, unit]) => {
    const most = Math.max(0, ...values);
    return `  ${label.padEnd(11)}  ${bars(values, most)} at most ${String(most)}${unit}`;
  });
}

const BARS = ' ▁▂▃▄▅▆▇█';

function bars(values: readonly number[], most: number): string {
  const padded = [...new Array<number>(PERIODS - values.length).fill(0), ...values];
  return padded
    .flatMap((value, at) => (at % 2 === 0 ? [Math.max(value, padded[at + 1] ?? 0)] : []))
    .map((value) => BARS[Math.ceil((value * (BARS.length - 1)) / Math.max(1, most))] ?? '')
    .join('');
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
    ...graphs(site),
    `  carried      ${size(counts.receivedBytes)} in, ${size(counts.sentBytes)} out`,
    `  processes    ${String(site.processesStarted)} started${warm === undefined ? '' : `, ${String(warm.forks)} of them forked`}`,
    ...(counts.ended.length === 0
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
  const processes = requests.flatMap(({ id, processes: each }) =>
    each.map(({ pid, command, cpuMs, residentBytes }) => [
      ...[id, String(pid), word(command), duration(cpuMs), size(residentBytes)],
    ]),
  );
  const active = table([
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
  if (processes.length === 0) return active;
  return [...active, '', ...table([['request', 'pid', 'command', 'CPU', 'memory'], ...processes])];
}

function endedLines(what: string, ended: readonly EndedRequest[]): readonly string[] {
  if (ended.length === 0) return [];
  return [
    '',
    ...table([
      [what, 'site', 'ended', 'status', 'result', 'waited', 'first byte', 'total', 'client', 'what'],
      ...ended.map((each) => [
        each.id,
        word(each.site),
        each.endedAt.slice(0, 19),
        known(each.status),
        `${each.end}${each.times === 1 ? '' : ` ×${String(each.times)}`}`,
        ...[each.queueMs, each.firstMs, each.totalMs].map((ms) => (ms === undefined ? '-' : duration(ms))),
        word(each.client) || '-',
        `${word(each.method) || '-'} ${word(shortened(each.uri))}${each.reason === '' ? '' : `: ${each.reason}`}`,
      ]),
    ]),
  ];
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
