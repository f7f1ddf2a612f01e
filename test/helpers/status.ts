/** A status with something of everything, for tests of how it is shown. */

import type { EndedRequest, Status } from '../../src/observe/status/status.js';

export const EVIL = '/"><script>alert(1)</script>\u001b[31m\n\u202e&amp;';

const distribution = {
  count: 3,
  sumMs: 20,
  buckets: [
    { maxMs: 1, count: 0 },
    { maxMs: 10, count: 2 },
    { maxMs: Infinity, count: 3 },
  ],
};

const ended: EndedRequest = {
  ...{
    id: 'abcdef01-0',
    site: EVIL,
    endedAt: '2026-11-22T10:00:01.000Z',
    client: EVIL,
    method: EVIL,
    uri: EVIL,
  },
  ...{
    status: 502,
    end: 'no-header',
    reason: EVIL,
    queueMs: 5,
    firstMs: undefined,
    totalMs: 2_500,
    times: 7,
  },
};

/** Whatever is text in it is hostile. */
export const sampleStatus: Status = {
  version: '1.2.3',
  pid: 4711,
  state: 'draining',
  startedAt: '2026-11-22T10:00:00.000Z',
  uptimeMs: 100_000,
  memory: { residentBytes: 1 << 26, heapBytes: 1 << 23 },
  cpuMs: 1_500,
  eventLoop: { busyMs: 1_000, delayMs: 0.25 },
  sites: [
    {
      name: EVIL,
      kind: 'hg',
      listen: [`unix:${EVIL}`],
      ...{ connections: 2, maxConnections: 512, slots: 1, maxSlots: 32, queue: 0, maxQueue: 512 },
      processesStarted: 7,
      counts: {
        ended: [{ end: 'completed', status: '2xx', requests: 3 }],
        receivedBytes: 10,
        sentBytes: 2_048,
        firstByte: distribution,
        total: distribution,
      },
      activity: {
        ...{ requestsPerSecond: 0.25, maxRunning: 3, maxWaiting: 40, periodMs: 10_000 },
        ...{ requests: [1, 4], errors: [0, 2], running: [1, 3], waiting: [40, 0] },
      },
      warm: {
        forkServersStarted: 1,
        forks: 5,
        forkServers: [{ script: EVIL, pid: undefined, state: 'loading', ageMs: 50, forks: 5, prepared: 3 }],
      },
      workers: { crashes: 1, recycles: 2, running: [{ pid: 12, state: 'free', ageMs: 1, requests: 9 }] },
    },
  ],
  requests: [
    {
      id: 'abcdef01-1',
      site: EVIL,
      state: 'running',
      ...{ client: EVIL, method: EVIL, uri: EVIL, script: EVIL },
      processes: [{ pid: 815, command: EVIL, cpuMs: 1_500, residentBytes: 3 << 20 }],
      ...{ pid: 815, ageMs: 1_234, inBytes: 0, outBytes: 100 },
    },
  ],
  failed: [ended],
  slowest: [{ ...ended, end: 'completed', status: 200, reason: '', times: 1 }],
};
