/** The kinds of sites: the options that each has of its own, which are arguments of its command and keys of a file too. */

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

import { type ByteString, fromText } from '../../base/bytes.js';
import type { SiteConfiguration } from '../../daemon/configuration.js';
import { OptionError, reasonOf } from '../../base/errors.js';
import {
  argument,
  atOnce,
  flag,
  type Given,
  list,
  optional,
  type OptionTable,
  type Parser,
  type Reading,
  readOptions,
  required,
  value,
} from './option.js';
import { bytePath, byteText, count, path, program, text, wrong } from './parsers.js';

export type SiteKindName = SiteConfiguration['kind'];

const urlPrefix: Parser<ByteString> = (given, place) => {
  const trimmed = given.replace(/\/+$/, '');
  if (trimmed === '' || trimmed.startsWith('/')) return fromText(trimmed);
  throw wrong(place, given, 'expected a path that begins with a slash, as in /hg');
};

/** The path of a file that can be read; `whyNot` says of its text what can't be used. */
const readableFile =
  (whyNot: (content: string) => string | undefined = () => undefined): Parser<ByteString> =>
  (given, place) => {
    const file = path(given, place);
    const refusal = (why: string): OptionError =>
      new OptionError('ERR_START', { option: place.option, value: given, why });
    let content: string;
    try {
      content = readFileSync(file, 'latin1');
    } catch (error) {
      throw refusal(reasonOf(error));
    }
    const why = whyNot(content);
    if (why !== undefined) throw refusal(why);
    return fromText(file);
  };

/** Settings that would hide a repository from gitweb's visitors only; `scripts/gitweb.conf` looks again in each request. */
function whyNoGitwebConfig(content: string): string | undefined {
  const hiding = /^[^#\n]*(\$export_(?:auth_hook|ok))\s*=(?![=~]|\s*(?:undef|''|""))/m;
  const name = hiding.exec(content)?.[1];
  return name === undefined
    ? undefined
    : `it sets ${name}, which hides pages, but no clone; publish with --markers instead`;
}

/** Lists of repositories, which hgwebdir has and this does not read. */
function whyNoHgwebConfig(content: string): string | undefined {
  const name = /^\[(paths|collections)\]/m.exec(content)?.[1];
  return name === undefined
    ? undefined
    : `it has a section [${name}], which counts for hgwebdir only; name the repositories with --repos and --markers`;
}

// oxfmt-ignore
const repositories = (program: string, suffix: string, allByDefault: string) => ({
  repos: required('', 'repos', bytePath, `Directory of ${program} repositories`),
  markers: optional('', 'markers', bytePath,
    `Directory of empty NAME.${suffix} files, each of which publishes repository NAME; index.fcgi the index`, allByDefault),
});

// oxfmt-ignore
const served = (example: string) => ({
  urlPrefix: value('', 'url-prefix', urlPrefix, '',
    `Path that the web server serves the repositories under, as in ${example}`),
  trustRemoteUser: flag('', 'trust-remote-user',
    'Let pushes in, by whom the web server says in REMOTE_USER: it must ask them for a password'),
});

// oxfmt-ignore
export const siteKinds = {
  hg: {
    ...repositories('Mercurial', 'hg', 'all repositories'),
    hgwebConfig: optional('', 'hgweb-config', readableFile(whyNoHgwebConfig),
      'Mercurial configuration file with [web] settings of your own'),
    hg: value('', 'hg', program, 'hg', 'Mercurial program'),
    ...served('/hg'),
  },
  git: {
    ...repositories('git', 'git', 'git-daemon-export-ok in each repository'),
    exportAll: flag('', 'export-all', 'Publish all repositories'),
    gitweb: optional('', 'gitweb', path, 'Path of gitweb.cgi', 'where systems have it'),
    gitwebConfig: optional('', 'gitweb-config', readableFile(whyNoGitwebConfig),
      'Gitweb configuration file (Perl) with settings of your own'),
    git: value('', 'git', program, 'git', 'Git program'),
    ...served('/git'),
  },
  script: {
    file: argument(required('', 'file', bytePath, 'The script')),
    args: argument(list('', 'argument', byteText, 'Its arguments; those that begin with a dash come after --')),
  },
  dir: {
    roots: { ...list('', 'root', bytePath, 'Directory outside which nothing runs (repeatable)'), isRequired: true },
  },
  worker: {
    workers: value('', 'workers', count(1), '4', 'Processes of the application that have a request at once'),
    maxCrashes: value('', 'max-crashes', count(0), '5',
      'Failures in a row after which it gives up, or with --listen answers 503; 0 for never'),
    maxRequests: value('', 'max-requests', count(0), '0',
      'Requests after which a worker is replaced, with --listen; 0 for any number'),
    // After the dashes.
    command: { ...argument(list('', 'command', text, 'The FastCGI application, and its arguments')), isRequired: true },
  },
} satisfies Record<SiteKindName, OptionTable>;

export const siteKindNames = Object.keys(siteKinds) as SiteKindName[];

/** The site of that kind that the options describe. @throws what `report` throws */
export function readSiteKind(kind: SiteKindName, given: Given, reading: Reading = atOnce): SiteConfiguration {
  switch (kind) {
    case 'hg':
      return { kind, ...readOptions(siteKinds.hg, given, reading) };
    case 'git': {
      const site = readOptions(siteKinds.git, given, reading);
      if (site.exportAll && site.markers !== undefined) {
        const why = 'publishes all repositories, and --markers only some: choose one';
        reading.report(new OptionError('ERR_USAGE', { option: 'export-all', why }));
      }
      return { kind, ...site };
    }
    case 'script':
      return { kind, ...readOptions(siteKinds.script, given, reading) };
    case 'dir':
      return { kind, ...readOptions(siteKinds.dir, given, reading) };
    case 'worker': {
      const { command, ...counts } = readOptions(siteKinds.worker, given, reading);
      const [file = '', ...args] = command;
      const directory = reading.directoryOf('command');
      const found = file.includes('/') ? resolve(directory, file) : file;
      const words = [fromText(found), ...args.map(fromText)] as const;
      return { kind, command: words, directory: fromText(directory), ...counts };
    }
  }
}
