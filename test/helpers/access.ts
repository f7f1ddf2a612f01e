import type { Access } from '../../src/observe/access-log.js';

/** What the access log says of a request that was answered. */
export const answered: Access = {
  id: '5f0c2a1e-17',
  client: '192.0.2.7',
  method: 'GET',
  uri: '/project.hg/?x=é',
  status: 200,
  inBytes: 0,
  outBytes: 5120,
  queueMs: 0.04,
  firstMs: 35.25,
  totalMs: 1036.149,
  pid: 4711,
  exitStatus: 0,
  signal: undefined,
  end: 'completed',
  site: undefined,
};
