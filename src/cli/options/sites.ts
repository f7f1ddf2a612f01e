/** The options that each kind of site has of its own. */

import type { Options } from 'yargs';

import { list, text } from './values.js';

/** The options of `fcgi2cgi hg` besides. */
export const hgOptions = {
  repos: { ...text, demandOption: true, description: 'Directory of Mercurial repositories' },
  markers: {
    ...text,
    description:
      'Directory of empty NAME.hg files, each of which publishes repository NAME; index.fcgi the index',
    defaultDescription: 'all repositories',
  },
  'hgweb-config': { ...text, description: 'Mercurial configuration file with [web] settings of your own' },
  hg: { ...text, default: 'hg', description: 'Mercurial program' },
  'url-prefix': {
    ...text,
    default: '',
    description: 'Path that the web server serves the repositories under, as in /hg',
  },
} satisfies Record<string, Options>;

/** The options of `fcgi2cgi git` besides. */
export const gitOptions = {
  repos: { ...text, demandOption: true, description: 'Directory of git repositories' },
  markers: {
    ...text,
    description:
      'Directory of empty NAME.git files, each of which publishes repository NAME; index.fcgi the index',
    defaultDescription: 'git-daemon-export-ok in each repository',
  },
  'export-all': { type: 'boolean', default: false, description: 'Publish all repositories' },
  gitweb: { ...text, description: 'Path of gitweb.cgi', defaultDescription: 'where systems have it' },
  'gitweb-config': { ...text, description: 'Gitweb configuration file (Perl) with settings of your own' },
  git: { ...text, default: 'git', description: 'Git program' },
  'url-prefix': {
    ...text,
    default: '',
    description: 'Path that the web server serves the repositories under, as in /git',
  },
} satisfies Record<string, Options>;

/** The options of `fcgi2cgi dir` besides. */
export const dirOptions = {
  root: { ...text, demandOption: true, description: 'Directory outside which nothing runs' },
} satisfies Record<string, Options>;

/** The options of `fcgi2cgi worker` besides. */
export const workerOptions = {
  workers: { ...text, default: '4', description: 'Processes of the application that have a request at once' },
  'max-crashes': {
    ...text,
    default: '5',
    description: 'Failures in a row after which it gives up, or with --listen answers 503; 0 for never',
  },
  'max-requests': {
    ...text,
    default: '0',
    description: 'Requests after which a worker is replaced, with --listen; 0 for any number',
  },
} satisfies Record<string, Options>;

/** What `fcgi2cgi script` takes besides, which are its arguments. */
export const scriptArguments = {
  file: { type: 'string', demandOption: true, description: 'The script' },
  argument: {
    type: 'string',
    array: true,
    description: 'Its arguments; those that begin with a dash come after --',
  },
} satisfies Record<string, Options>;

/** What `fcgi2cgi worker` takes after the dashes; a key of a configuration file. */
export const workerArguments = {
  command: { ...list, demandOption: true, description: 'The FastCGI application, and its arguments' },
} satisfies Record<string, Options>;
