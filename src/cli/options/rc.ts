/** What `fcgi2cgi rc` takes. */

import type { Options } from 'yargs';

import { rcSystemNames } from '../rc/systems.js';
import { text } from './values.js';

export const rcArguments = {
  system: {
    type: 'string',
    choices: rcSystemNames,
    description: 'What starts daemons there',
    defaultDescription: 'this machine’s',
  },
} satisfies Record<string, Options>;

export const rcOptions = {
  user: {
    ...text,
    description: 'Who serves, and owns what is pushed',
    defaultDescription: 'that of the web server',
  },
} satisfies Record<string, Options>;
