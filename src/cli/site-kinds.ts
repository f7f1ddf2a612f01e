/** The kinds of sites: what each takes besides the common options, and what is made of it. */

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

import type { Options } from 'yargs';

import { type ByteString, fromText } from '../bytes.js';
import type { SiteConfiguration } from '../daemon/configuration.js';
import { OptionError, reasonOf } from '../errors.js';
import type { OptionReader } from './option-reader.js';
import {
  dirOptions,
  gitOptions,
  hgOptions,
  scriptArguments,
  workerArguments,
  workerOptions,
} from './options/sites.js';

/** A kind of site, which is a command and a `kind` in a configuration file. */
interface SiteKind {
  /** Its own options, or arguments by their names; in a configuration file both are keys. */
  readonly options: Readonly<Record<string, Options>>;
  readonly read: (reader: OptionReader) => SiteConfiguration;
}

export type SiteKindName = SiteConfiguration['kind'];

export const siteKinds: Readonly<Record<SiteKindName, SiteKind>> = {
  hg: {
    options: hgOptions,
    read: (reader) => ({
      kind: 'hg',
      repos: reader.requiredPath('repos'),
      markers: reader.bytePath('markers'),
      hgwebConfig: readableFile(reader, 'hgweb-config'),
      hg: reader.program('hg'),
      urlPrefix: urlPrefix(reader),
    }),
  },
  git: {
    options: gitOptions,
    read: (reader) => ({
      kind: 'git',
      repos: reader.requiredPath('repos'),
      publishedBy: publishedBy(reader),
      gitwebConfig: readableFile(reader, 'gitweb-config'),
      gitweb: reader.path('gitweb'),
      git: reader.program('git'),
      urlPrefix: urlPrefix(reader),
    }),
  },
  script: {
    options: scriptArguments,
    read: (reader) => ({
      kind: 'script',
      file: reader.requiredPath('file'),
      args: reader.texts('argument').map(fromText),
    }),
  },
  dir: {
    options: dirOptions,
    read: (reader) => ({ kind: 'dir', root: reader.requiredPath('root') }),
  },
  worker: {
    options: { ...workerOptions, ...workerArguments },
    read: (reader) => {
      const [program, ...args] = reader.each('command', (word, directory) => ({ word, directory }));
      const { word = '', directory = process.cwd() } = program ?? {};
      return {
        kind: 'worker',
        command: [
          fromText(word.includes('/') ? resolve(directory, word) : word),
          ...args.map((argument) => fromText(argument.word)),
        ],
        directory: fromText(directory),
        workers: reader.count('workers', 1),
        maxCrashes: reader.count('max-crashes', 0),
        maxRequests: reader.count('max-requests', 0),
      };
    },
  },
};

function publishedBy(reader: OptionReader): 'all' | 'export-ok' | { readonly markers: ByteString } {
  const markers = reader.bytePath('markers');
  if (markers === undefined) return reader.flag('export-all') ? 'all' : 'export-ok';
  return reader.read({ markers }, () => {
    if (!reader.flag('export-all')) return { markers };
    const why = 'publishes all repositories, and --markers only some: choose one';
    throw new OptionError('ERR_USAGE', { option: 'export-all', why });
  });
}

function urlPrefix(reader: OptionReader): ByteString {
  const given = reader.required('url-prefix');
  return reader.read('', () => {
    const trimmed = given.replace(/\/+$/, '');
    if (trimmed === '' || trimmed.startsWith('/')) return fromText(trimmed);
    const why = 'expected a path that begins with a slash, as in /hg';
    throw new OptionError('ERR_USAGE', { option: 'url-prefix', value: given, why });
  });
}

function readableFile(reader: OptionReader, option: string): ByteString | undefined {
  const path = reader.path(option);
  if (path === undefined) return undefined;
  return reader.read('', () => {
    try {
      readFileSync(path);
    } catch (error) {
      throw new OptionError('ERR_START', { option, value: reader.required(option), why: reasonOf(error) });
    }
    return fromText(path);
  });
}
