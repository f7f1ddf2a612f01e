/** The options of the commands that describe requests: `get`, `explain` and `verify`. */

import type { Options } from 'yargs';

import { list, text } from './values.js';

/** Of all of them. */
const request = {
  method: { ...text, description: 'REQUEST_METHOD', defaultDescription: 'GET, with --data POST' },
  header: { ...list, description: 'Header field of the request, as in "Accept: text/html" (repeatable)' },
  param: {
    ...list,
    description:
      'NAME=VALUE that wins over what a web server would send; NAME alone is not sent (repeatable)',
  },
} satisfies Record<string, Options>;

/** The arguments of `fcgi2cgi get`. */
export const getArguments = {
  address: {
    type: 'string',
    demandOption: true,
    description: 'Where the application listens: unix:/path, /path, HOST:PORT or [v6]:PORT',
  },
  path: { type: 'string', demandOption: true, description: 'Path of the URI, and its query' },
} satisfies Record<string, Options>;

/** The options of `fcgi2cgi get`. */
export const getOptions = {
  ...request,
  data: { ...text, description: 'File whose content is the body of the request; - is standard input' },
  include: { type: 'boolean', default: false, description: 'Print the header of the answer as well' },
  keep: {
    type: 'boolean',
    default: false,
    description: 'Ask for the connection to be kept, and send all requests on it',
  },
  repeat: { ...text, default: '1', description: 'Send the request so often, one after the other' },
  timings: { type: 'boolean', default: false, description: 'Print how long it took, on standard error' },
  timeout: { ...text, default: '1m', description: 'Longest wait for the next octet' },
} satisfies Record<string, Options>;

/** Of those that take a site; those of its command besides, if they name one. */
const ofSite = {
  config: { ...text, description: 'Configuration file that has the site' },
  site: { ...text, description: 'Name of the site in the file', defaultDescription: 'the only one' },
} satisfies Record<string, Options>;

/** The options of `fcgi2cgi explain`. */
export const explainOptions = {
  ...ofSite,
  ...request,
  json: { type: 'boolean', default: false, description: 'Print the explanation as JSON' },
} satisfies Record<string, Options>;

/** The options of `fcgi2cgi verify`. */
export const verifyOptions = {
  ...ofSite,
  ...request,
  data: { ...text, description: 'File whose content is the body of each request; needs --method' },
  requests: {
    ...text,
    description: 'File of further requests: a path a line, or an access log; - is standard input',
  },
  repeat: { ...text, default: '1', description: 'Run each request warm so often at least' },
  json: { type: 'boolean', default: false, description: 'Print a line of JSON for each request' },
} satisfies Record<string, Options>;
