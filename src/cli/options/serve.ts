/** The options of `fcgi2cgi serve`. */

import type { Options } from 'yargs';

import { daemonOptions } from './common.js';
import { text } from './values.js';

/** The options of `fcgi2cgi serve`. */
export const serveOptions = {
  config: { ...text, demandOption: true, description: 'Configuration file' },
  check: {
    type: 'boolean',
    default: false,
    description: 'Say what is wrong with the file and with what it names, and start nothing',
  },
} satisfies Record<string, Options>;

/** Those of the whole daemon, for `fcgi2cgi serve`: without defaults, which would win over the file. */
export const overridingOptions: Readonly<Record<string, Options>> = Object.fromEntries(
  Object.entries<Options>(daemonOptions).map(([name, option]) => {
    return [name, Object.fromEntries(Object.entries(option).filter(([property]) => property !== 'default'))];
  }),
);
