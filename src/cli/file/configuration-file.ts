/** Reads a configuration file as a whole: all that is wrong with it is found before anything starts. */

import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

import type { Options } from 'yargs';

import type { Configuration, ServedSiteConfiguration } from '../../daemon/configuration.js';
import { BridgeError, bridgeErrorOf, OptionError, reasonOf } from '../../errors.js';
import { readDaemonWide, readServedSite, wholeConfiguration } from '../configuration.js';
import { type GivenOptions, OptionReader } from '../option-reader.js';
import { daemonOptions } from '../options/common.js';
import { type SiteKindName, siteKinds } from '../site-kinds.js';
import { checkValue, keysOfKind, siteKeys, topKeys, whyNotInSite, whyNotOnTop } from './keys.js';
import { ListenerClaims } from './listener-claims.js';
import { LocatedError, Location } from './located.js';
import { readToml, type Section, TomlError } from './toml.js';

/**
 * The configuration that the file describes; relative paths in it count from its directory. `overriding` options of
 * the command line win over those of the file. Its own path, and those of the command line, count from `directory`.
 *
 * @throws BridgeError `ERR_USAGE` with a line for each mistake, `ERR_START` if the file can't be read.
 */
export function readConfigurationFile(
  path: string,
  overriding: GivenOptions,
  directory = process.cwd(),
): Configuration {
  const file = new ConfigurationFile(path, directory, textOf(path, directory));
  const configuration = file.read(overriding);
  const error = bridgeErrorOf(file.errors);
  if (error !== undefined) throw error;
  return configuration;
}

function textOf(path: string, directory: string): string {
  try {
    return readFileSync(resolve(directory, path), 'utf8');
  } catch (error) {
    throw new OptionError('ERR_START', { option: 'config', value: path, why: reasonOf(error) });
  }
}

class ConfigurationFile {
  readonly #path: string;
  /** Where the command was given, and where the file is. */
  readonly #workingDirectory: string;
  readonly #directory: string;
  readonly #sections: readonly [Section, ...Section[]];
  readonly #errors = new Map<string, BridgeError>();
  readonly #listeners: ListenerClaims;

  constructor(path: string, workingDirectory: string, text: string) {
    this.#path = path;
    this.#workingDirectory = workingDirectory;
    this.#directory = dirname(resolve(workingDirectory, path));
    this.#listeners = new ListenerClaims(this.#directory);
    try {
      this.#sections = readToml(text);
    } catch (error) {
      if (!(error instanceof TomlError)) throw error;
      const { line, column } = error.place;
      const found = text.split('\n')[line - 1]?.trim() ?? '';
      const where = `${path}:${String(line)}:${String(column)}:`;
      const message = `${where} this is no TOML: ${error.message}; found ${JSON.stringify(found)}`;
      throw new BridgeError('ERR_USAGE', message);
    }
  }

  /** All that is wrong, from top to bottom, and each thing once: a wrong default is wrong for every site. */
  get errors(): readonly BridgeError[] {
    const key = (error: BridgeError): number =>
      error instanceof LocatedError ? error.place.line * 10_000 + error.place.column : 0;
    return [...this.#errors.values()].sort((a, b) => key(a) - key(b));
  }

  read(overriding: GivenOptions): Configuration {
    const [top, ...tables] = this.#sections;
    const location = new Location(this.#path, [top]);
    const given = this.#given(top, location, topKeys, whyNotOnTop);
    const daemonWide = this.#daemonWide(given, overriding, location);
    const isSite = ({ name, source }: Section): boolean =>
      name.length === 2 && name[0] === 'site' && name[1] !== '' && !source.startsWith('[[');
    for (const table of tables.filter((each) => !isSite(each))) {
      const what = 'there is no such section; expected [site.NAME]';
      this.#report(new Location(this.#path, [table]).ofSection(what));
    }
    const sites = tables.filter(isSite);
    if (sites.length === 0) {
      const what = 'there is no site; expected a section [site.NAME], with its kind and where it listens';
      this.#report(location.ofSection(what));
    }
    // Also what every site has in another way may be wrong.
    readServedSite(this.#reader({ ...defaultsOf(siteKeys), ...given }, location), {
      name: undefined,
      site: { kind: 'dir', root: '/' },
    });
    return wholeConfiguration(
      sites.map((site) => this.#site(site, top, given)),
      daemonWide,
    );
  }

  #daemonWide(
    given: GivenOptions,
    overriding: GivenOptions,
    location: Location,
  ): Omit<Configuration, 'sites'> {
    const reader = new OptionReader(
      { ...defaultsOf(daemonOptions), ...given, ...overriding },
      {
        report: (error) => {
          this.#report(error.option in overriding ? error : location.of(error));
        },
        directoryOf: (option) => (option in overriding ? this.#workingDirectory : this.#directory),
      },
    );
    return readDaemonWide(reader);
  }

  #site(section: Section, top: Section, defaults: GivenOptions): ServedSiteConfiguration {
    const location = new Location(this.#path, [section, top]);
    const kind = kindOf(section);
    const keys = keysOfKind(kind);
    const own = this.#given(section, location, keys, (key) => whyNotInSite(key, kind));
    for (const [key, option] of Object.entries(keys)) {
      const isRequired = option.demandOption === true && (kind !== undefined || key in ownOfAll);
      if (!isRequired || section.entries.some((entry) => entry.key === key)) continue;
      this.#report(location.ofSection(`${key} is missing; expected ${key} = ${exampleOf(option)}`));
    }
    for (const error of this.#listeners.claim(section, location)) this.#report(error);
    const reader = this.#reader({ ...defaultsOf(keys), ...defaults, ...own }, location);
    return readServedSite(reader, {
      name: section.name[1],
      site: kind === undefined ? { kind: 'dir', root: '/' } : siteKinds[kind].read(reader),
      locate: (error) => location.of(error),
    });
  }

  /** What a section says, by the names of the options; what can't be is reported and left out. */
  #given(
    section: Section,
    location: Location,
    keys: Readonly<Record<string, Options>>,
    whyNot: (key: string) => string,
  ): GivenOptions {
    const given: Record<string, unknown> = {};
    for (const entry of section.entries) {
      const option = keys[entry.key];
      if (option === undefined) {
        this.#report(location.ofEntry(entry, whyNot(entry.key)));
        continue;
      }
      const checked = checkValue(option, entry);
      if ('why' in checked) this.#report(location.ofEntry(entry, checked.why, checked.item));
      else given[entry.key] = checked.given;
    }
    return given;
  }

  #reader(given: GivenOptions, location: Location): OptionReader {
    return new OptionReader(given, {
      report: (error) => {
        this.#report(location.of(error));
      },
      directoryOf: () => this.#directory,
    });
  }

  #report(error: BridgeError): void {
    this.#errors.set(error.message, error);
  }
}

/** What a site must say whatever it is. */
const ownOfAll = { kind: true, listen: true };

function kindOf(section: Section): SiteKindName | undefined {
  const value = section.entries.find(({ key }) => key === 'kind')?.value;
  if (value?.kind !== 'text') return undefined;
  return Object.keys(siteKinds).find((name): name is SiteKindName => name === value.text);
}

function defaultsOf(options: Readonly<Record<string, Options>>): GivenOptions {
  return Object.fromEntries(
    Object.entries(options).flatMap(([name, { default: usual }]) =>
      usual === undefined ? [] : [[name, usual as unknown]],
    ),
  );
}

function exampleOf({ choices, array }: Options): string {
  if (choices !== undefined) return (choices as readonly string[]).map((each) => `"${each}"`).join(' or ');
  return array === true ? '["…"]' : '"…"';
}
