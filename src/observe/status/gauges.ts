/** What is read off a status when Prometheus asks, and counted by nobody in between. */

import type { Registry } from 'prom-client';

import type { SiteStatus, Status } from './status.js';

type Client = typeof import('prom-client');

interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

interface Described {
  readonly kind: 'Gauge' | 'Counter';
  readonly help: string;
  readonly labelNames: readonly string[];
  readonly samples: (status: Status) => readonly Sample[];
}

const one = (
  help: string,
  valueOf: (status: Status) => number,
  kind: Described['kind'] = 'Gauge',
): Described => ({
  ...{ kind, help, labelNames: [] },
  samples: (status) => [{ labels: {}, value: valueOf(status) }],
});

/** Where a site has no such thing, `valueOf` says undefined. */
const ofSites = (
  help: string,
  valueOf: (site: SiteStatus) => number | undefined,
  kind: Described['kind'] = 'Gauge',
): Described => ({
  ...{ kind, help, labelNames: ['site'] },
  samples: ({ sites }) =>
    sites.flatMap((site) => {
      const value = valueOf(site);
      return value === undefined ? [] : [{ labels: { site: site.name }, value }];
    }),
});

const states = ['preparing', 'waiting', 'running', 'answered'] as const;

/** By their names; those that other programs have as well are named as there. */
const described: Readonly<Record<string, Described>> = {
  fcgi2cgi_info: {
    ...{ kind: 'Gauge', help: 'The version.', labelNames: ['version'] },
    samples: ({ version }) => [{ labels: { version }, value: 1 }],
  },
  fcgi2cgi_accepting: one('Whether it takes new work: 1, or 0 while it drains.', ({ state }) =>
    state === 'accepting' ? 1 : 0,
  ),
  fcgi2cgi_requests_active: {
    ...{
      kind: 'Gauge',
      help: 'Requests that have not ended, by their state.',
      labelNames: ['site', 'state'],
    },
    samples: ({ sites, requests }) =>
      sites.flatMap(({ name }) =>
        states.map((state) => ({
          labels: { site: name, state },
          value: requests.filter((each) => each.site === name && each.state === state).length,
        })),
      ),
  },
  fcgi2cgi_queue_length: ofSites('Requests that wait for a place.', ({ queue }) => queue),
  fcgi2cgi_queue_length_max: ofSites('Requests that may wait (--max-queue).', ({ maxQueue }) => maxQueue),
  fcgi2cgi_slots_taken: ofSites('Slots that are taken; each process has one.', ({ slots }) => slots),
  fcgi2cgi_slots: ofSites('Slots that there are (--max-processes, --workers).', ({ maxSlots }) => maxSlots),
  fcgi2cgi_connections: ofSites('Connections from web servers.', ({ connections }) => connections),
  fcgi2cgi_connections_max: ofSites(
    'Connections that there may be (--max-connections).',
    ({ maxConnections }) => maxConnections,
  ),
  fcgi2cgi_processes_started_total: ofSites(
    'Processes that were started for requests, or workers.',
    ({ processesStarted }) => processesStarted,
    'Counter',
  ),
  fcgi2cgi_forks_total: ofSites(
    'Processes that fork servers have made.',
    ({ warm }) => warm?.forks,
    'Counter',
  ),
  fcgi2cgi_fork_servers: ofSites('Fork servers that run.', ({ warm }) => warm?.forkServers.length),
  fcgi2cgi_fork_servers_started_total: ofSites(
    'Fork servers that were started.',
    ({ warm }) => warm?.forkServersStarted,
    'Counter',
  ),
  fcgi2cgi_workers: ofSites('Workers that run.', ({ workers }) => workers?.running.length),
  fcgi2cgi_worker_recycles_total: ofSites(
    'Workers that have ended on purpose.',
    ({ workers }) => workers?.recycles,
    'Counter',
  ),
  fcgi2cgi_worker_crashes_total: ofSites(
    'Workers that have failed.',
    ({ workers }) => workers?.crashes,
    'Counter',
  ),
  fcgi2cgi_event_loop_busy_seconds_total: one(
    'How long the event loop has been at work.',
    ({ eventLoop }) => eventLoop.busyMs / 1_000,
    'Counter',
  ),
  fcgi2cgi_event_loop_delay_seconds: one(
    'How long the event loop takes until it comes to what is next.',
    ({ eventLoop }) => eventLoop.delayMs / 1_000,
  ),
  process_start_time_seconds: one('When the process was started, since the epoch.', ({ startedAt }) =>
    Math.round(Date.parse(startedAt) / 1_000),
  ),
  process_cpu_seconds_total: one('CPU time, user and system.', ({ cpuMs }) => cpuMs / 1_000, 'Counter'),
  process_resident_memory_bytes: one('Resident memory.', ({ memory }) => memory.residentBytes),
  nodejs_heap_size_used_bytes: one('What is used of the heap.', ({ memory }) => memory.heapBytes),
};

/** Registers all of these; gives what sets them to what a status says. */
export function registerGauges(client: Client, registry: Registry): (status: Status) => void {
  const registered = Object.entries(described).map(([name, { kind, help, labelNames, samples }]) => {
    const options = { name, help, labelNames, registers: [registry] };
    const metric = kind === 'Gauge' ? new client.Gauge(options) : new client.Counter(options);
    return { metric, samples };
  });
  return (status) => {
    for (const { metric, samples } of registered) {
      metric.reset();
      for (const { labels, value } of samples(status)) metric.inc(labels, value);
    }
  };
}
