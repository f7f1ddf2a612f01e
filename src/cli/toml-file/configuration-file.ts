/** Reads a configuration file as a whole: all that is wrong with it is found before anything starts. */

import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

import { formatAddress, parseAddress } from '../../daemon/listening/address.js';
import type { Configuration, ServedSiteConfiguration } from '../../daemon/configuration.js';
import { BridgeError, bridgeErrorOf, OptionError, reasonOf, systemCodeOf } from '../../base/errors.js';
import { readDaemonWide, readServedSite, wholeConfiguration } from '../configuration.js';
import type { Given, Option, Reading } from '../options/option.js';
import { readSiteKind, type SiteKindName, siteKindNames } from '../options/site-kinds.js';
import { checkValue, keysOfKind, ownKeys, topKeys, whyNotInSite, whyNotOnTop } from './keys.js';
import { type Item, LocatedError, Location, readToml, type Section, TomlError } from './toml.js';

/**
 * The configuration that the file describes; relative paths in it count from its directory. `overriding` options of
 * the command line win over those of the file. Its own path, and those of the command line, count from `directory`.
 *
 * @throws BridgeError `ERR_USAGE` with a line for each mistake, `ERR_START` if the file can't be read.
 */
export function readConfigurationFile(
  path: string,
  overriding: Given,
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
    const code = systemCodeOf(error);
    const advice = code === 'EACCES' ? '; the user who serves has to be able to read it' : '';
    const why =
      code === 'ENOENT'
        ? 'there is no such file; see fcgi2cgi.toml(5), or fcgi2cgi setup --help'
        : reasonOf(error) + advice;
    throw new OptionError('ERR_START', { option: 'config', value: path, why });
  }
}

class ConfigurationFile {
  readonly #path: string;
  /** Where the command was given, and where the file is. */
  readonly #workingDirectory: string;
  readonly #directory: string;
  readonly #sections: readonly [Section, ...Section[]];
  readonly #errors = new Map<string, BridgeError>();
  /** Where each address to listen on was first named. */
  readonly #claims = new Map<string, string>();

  constructor(path: string, workingDirectory: string, text: string) {
    this.#path = path;
    this.#workingDirectory = workingDirectory;
    this.#directory = dirname(resolve(workingDirectory, path));
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

  read(overriding: Given): Configuration {
    const [top, ...tables] = this.#sections;
    const location = new Location(this.#path, [top]);
    const given = this.#given(top, location, topKeys, whyNotOnTop);
    const daemonWide = this.#daemonWide(given, overriding, location);
    const isSite = ({ name, source }: Section): boolean =>
      name.length === 2 && name[0] === 'site' && name[1] !== '' && !source.startsWith('[[');
    for (const table of tables.filter((each) => !isSite(each))) {
      const [first, ...name] = table.name;
      const isUnquoted = first === 'site' && name.length > 1 && !table.source.startsWith('[[');
      const expected = isUnquoted
        ? `put the name in quotes: [site."${name.join('.')}"]`
        : 'expected [site.NAME]';
      const what = `there is no such section; ${expected}`;
      this.#report(new Location(this.#path, [table]).ofSection(what));
    }
    const sites = tables.filter(isSite);
    if (sites.length === 0) {
      const what = 'there is no site; expected a section [site.NAME], with its kind and where it listens';
      this.#report(location.ofSection(what));
    }
    // Also what every site has in another way may be wrong.
    readServedSite({ name: undefined, site: NOTHING }, given, this.#reading(location));
    return wholeConfiguration(
      sites.map((site) => this.#site(site, top, given)),
      daemonWide,
    );
  }

  #daemonWide(given: Given, overriding: Given, location: Location): Omit<Configuration, 'sites'> {
    return readDaemonWide(new Map([...given, ...overriding]), {
      report: (error) => {
        this.#report(overriding.has(error.option) ? error : location.of(error));
      },
      directoryOf: (option) => (overriding.has(option) ? this.#workingDirectory : this.#directory),
    });
  }

  #site(section: Section, top: Section, defaults: Given): ServedSiteConfiguration {
    const location = new Location(this.#path, [section, top]);
    const kind = kindOf(section);
    const keys = keysOfKind(kind);
    const own = this.#given(section, location, keys, (key) => whyNotInSite(key, kind));
    for (const [key, option] of keys) {
      const isRequired = option.isRequired === true && (kind !== undefined || ownKeys.has(key));
      if (!isRequired || section.entries.some((entry) => entry.key === key)) continue;
      this.#report(location.ofSection(`${key} is missing; expected ${key} = ${exampleOf(option)}`));
    }
    this.#claimListeners(section, location);
    const given = new Map([...defaults, ...own]);
    const reading = this.#reading(location);
    const site = kind === undefined ? NOTHING : readSiteKind(kind, given, reading);
    const locate = (error: BridgeError): BridgeError => location.of(error);
    return readServedSite({ name: section.name[1], site, locate }, given, reading);
  }

  /** What a section says, by the names of the options; what can't be is reported and left out. */
  #given(
    section: Section,
    location: Location,
    keys: ReadonlyMap<string, Option<unknown>>,
    whyNot: (key: string) => string,
  ): Given {
    const given = new Map<string, string | boolean | readonly string[]>();
    for (const entry of section.entries) {
      const option = keys.get(entry.key);
      if (option === undefined) {
        this.#report(location.ofEntry(entry, whyNot(entry.key)));
        continue;
      }
      const checked = checkValue(option, entry);
      if ('why' in checked) this.#report(location.ofEntry(entry, checked.why, checked.item));
      else given.set(entry.key, checked.given);
    }
    return given;
  }

  /** Takes the addresses of a section, and reports each that was taken before. */
  #claimListeners(section: Section, location: Location): void {
    const entry = section.entries.find(({ key }) => key === 'listen');
    if (entry === undefined) return;
    for (const item of entry.value.kind === 'list' ? entry.value.items : [entry]) {
      const address = this.#addressOf(item);
      if (address === undefined) continue;
      const before = this.#claims.get(address);
      const why = `${before ?? ''} listens there already; expected an address of its own`;
      if (before !== undefined) this.#report(location.ofEntry(entry, why, item));
      else this.#claims.set(address, `${section.source} in line ${String(item.place.line)}`);
    }
  }

  /** An address in one form, however it is written; undefined for any free port, and for what can't be read. */
  #addressOf({ value }: Item): string | undefined {
    if (value.kind !== 'text') return undefined;
    try {
      const address = parseAddress(value.text, this.#directory);
      return address.kind === 'tcp' && address.port === 0 ? undefined : formatAddress(address);
    } catch {
      // What is wrong with it is said when the value is read.
      return undefined;
    }
  }

  #reading(location: Location): Reading {
    return {
      report: (error) => {
        this.#report(location.of(error));
      },
      directoryOf: () => this.#directory,
    };
  }

  #report(error: BridgeError): void {
    this.#errors.set(error.message, error);
  }
}

/** In the place of a site whose kind is not known. */
const NOTHING: ServedSiteConfiguration['site'] = { kind: 'dir', roots: [] };

function kindOf(section: Section): SiteKindName | undefined {
  const value = section.entries.find(({ key }) => key === 'kind')?.value;
  return value?.kind === 'text' ? siteKindNames.find((name) => name === value.text) : undefined;
}

function exampleOf({ choices, form }: Option<unknown>): string {
  if (choices !== undefined) return choices.map((each) => `"${each}"`).join(' or ');
  return form === 'list' ? '["…"]' : '"…"';
}
