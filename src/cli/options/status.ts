/** The argument and the options of `fcgi2cgi status`. */

import type { Options } from 'yargs';

import { text } from './values.js';

export const statusArguments = {
  address: {
    type: 'string',
    demandOption: true,
    description: 'The control socket of the daemon (its --control): unix:/path or /path',
  },
} satisfies Record<string, Options>;

export const statusOptions = {
  json: { type: 'boolean', default: false, description: 'Print the status as JSON' },
  prometheus: {
    type: 'boolean',
    default: false,
    description: 'Print the metrics in Prometheus’ text format',
  },
  end: { ...text, description: 'End the request of that id, and say what became of it' },
  timeout: { ...text, default: '1m', description: 'Longest wait for the next octet' },
} satisfies Record<string, Options>;
