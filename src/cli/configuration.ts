/** Makes the one frozen configuration from what was given, or picks the site of a command that serves nothing. */

import { fromText } from '../base/bytes.js';
import { OptionError } from '../base/errors.js';
import type { Configuration, ServedSiteConfiguration, SiteConfiguration } from '../daemon/configuration.js';
import { AllowFrom } from '../daemon/listening/address.js';
import { daemonOptions } from './options/command-options.js';
import { atOnce, type Given, type Reading, readOptions, rowsOf } from './options/option.js';
import { readSiteKind, type SiteKindName, siteKindNames, siteKinds } from './options/site-kinds.js';
import { siteOptions } from './options/site-options.js';
import { readConfigurationFile } from './toml-file/configuration-file.js';

const STDERR_TAIL_BYTES = 4_096;

/**
 * Connections beyond those of requests that run or wait: for what is refused, for bodies that still arrive, and for
 * connections that the web server keeps.
 */
const SPARE_CONNECTIONS = 128;

type DaemonWide = Omit<Configuration, 'sites'>;

/** The configuration of a command that serves one site. @throws BridgeError `ERR_USAGE` */
export function readConfiguration(site: SiteConfiguration, given: Given): Configuration {
  return wholeConfiguration([readServedSite({ name: undefined, site }, given)], readDaemonWide(given));
}

/**
 * The configuration of a daemon that serves these sites, with the defaults of the command line for all that is not said.
 * Descriptor 0 is the listening socket of a site that names no other.
 */
export function defaultConfiguration(
  sites: readonly (Pick<ServedSiteConfiguration, 'site'> & Partial<ServedSiteConfiguration>)[],
  daemonWide: Partial<DaemonWide> = {},
): Configuration {
  const given: Given = new Map();
  const served = sites.map((each) => {
    const read = readServedSite({ name: undefined, site: each.site }, given);
    return { ...read, maxConnections: connectionsFor({ ...read, ...each }), ...each };
  });
  return wholeConfiguration(served, { ...readDaemonWide(given), ...daemonWide });
}

/** The configuration of a daemon with these sites; FastCGI applications run in its directory, if it was told one. */
export function wholeConfiguration(
  sites: readonly ServedSiteConfiguration[],
  daemonWide: DaemonWide,
): Configuration {
  const { chdir } = daemonWide;
  const placed = sites.map((served): ServedSiteConfiguration =>
    served.site.kind === 'worker' && chdir !== undefined
      ? { ...served, site: { ...served.site, directory: fromText(chdir) } }
      : served,
  );
  return Object.freeze({ sites: placed, ...daemonWide });
}

/** Reads what each site has of its own, whatever its kind. */
export function readServedSite(
  what: Pick<ServedSiteConfiguration, 'name' | 'site' | 'locate'>,
  given: Given,
  reading: Reading = atOnce,
): ServedSiteConfiguration {
  const values = readOptions(siteOptions, given, reading);
  const { statusPath, healthPath } = values;
  if (statusPath !== undefined && statusPath === healthPath) {
    const why = 'is --status-path as well; expected a path of its own';
    const value = String(given.get('health-path'));
    reading.report(new OptionError('ERR_USAGE', { option: 'health-path', value, why }));
  }
  return {
    ...what,
    ...values,
    maxConnections: values.maxConnections ?? connectionsFor({ ...what, ...values }),
    allowFrom: [...values.allowFrom, ...webServerAddresses()],
    env: new Map(values.env),
    holdUntilExitBytes: values.holdUntilExitBytes ?? 0,
    stderrTailBytes: STDERR_TAIL_BYTES,
  };
}

/** As many connections as a site may have unless it is told: else the queue could never fill up. */
function connectionsFor({
  site,
  maxProcesses,
  maxQueue,
}: Pick<ServedSiteConfiguration, 'site' | 'maxProcesses' | 'maxQueue'>): number {
  return (site.kind === 'worker' ? site.workers : maxProcesses) + maxQueue + SPARE_CONNECTIONS;
}

/** Reads what all sites of a daemon have in common. */
export function readDaemonWide(given: Given, reading: Reading = atOnce): DaemonWide {
  const values = readOptions(daemonOptions, given, reading);
  if (values.background && values.log.file === undefined) {
    const example = '--log-file /var/log/fcgi2cgi.log';
    const why = `needs a file for its log, since nobody reads its standard error: add for example ${example}`;
    reading.report(new OptionError('ERR_USAGE', { option: 'daemon', why }));
  }
  return values;
}

/** Further addresses, which the process that started this one allows (FastCGI 1.0 §3.2): a comma-separated list. */
function webServerAddresses(): readonly string[] {
  const entries = (process.env['FCGI_WEB_SERVER_ADDRS'] ?? '')
    .split(',')
    .flatMap((entry) => entry.trim() || []);
  new AllowFrom(entries, 'FCGI_WEB_SERVER_ADDRS');
  return entries;
}

/**
 * The site of `--config` and `--site`, or that of `site-command` with its options and arguments, which `words` continue.
 *
 * @throws BridgeError `ERR_USAGE`, `ERR_START`
 */
export function namedSite(
  { config, site }: { readonly config: string | undefined; readonly site: string | undefined },
  given: Given,
  words: readonly string[] = [],
): { readonly served: ServedSiteConfiguration; readonly configuration: Configuration } {
  const configuration =
    config === undefined ? configurationOfCommand(given, words) : readConfigurationFile(config, new Map());
  return { served: siteNamed(configuration.sites, config === undefined ? undefined : site), configuration };
}

/** The site of that name, or the only one. @throws OptionError `ERR_USAGE` */
function siteNamed(
  sites: readonly ServedSiteConfiguration[],
  name: string | undefined,
): ServedSiteConfiguration {
  const [first, ...more] = sites;
  const found =
    name === undefined && more.length === 0
      ? first
      : sites.find((site) => site.name === name && name !== undefined);
  if (found !== undefined) return found;
  const expected = `expected one of ${sites.map((site) => site.name ?? '').join(', ')}`;
  throw name === undefined
    ? new OptionError('ERR_USAGE', { option: 'site', why: `is missing; ${expected}` })
    : new OptionError('ERR_USAGE', {
        option: 'site',
        value: name,
        why: `there is no such site; ${expected}`,
      });
}

/** What the site's own command would serve. @throws OptionError `ERR_USAGE` */
function configurationOfCommand(given: Given, words: readonly string[]): Configuration {
  const kind = given.get('site-command') as SiteKindName | undefined;
  if (kind === undefined) {
    const why = 'is missing; name a configuration file, or the command of a site with its options';
    throw new OptionError('ERR_USAGE', { option: 'config', why });
  }
  const argument = [...((given.get('argument') as readonly string[] | undefined) ?? []), ...words];
  const all = new Map([...given, ['argument', argument] as const]);
  const own = rowsOf(siteKinds[kind]);
  for (const { name } of siteKindNames.flatMap((each) => rowsOf(siteKinds[each]))) {
    if (all.has(name) && name !== 'argument' && !own.some((row) => row.name === name)) {
      throw new OptionError('ERR_USAGE', { option: name, why: `is no option of ${kind}` });
    }
  }
  for (const { name, isRequired } of own) {
    if (isRequired === true && !all.has(name)) {
      throw new OptionError('ERR_USAGE', { option: name, why: `is missing; ${kind} needs it` });
    }
  }
  return readConfiguration(readSiteKind(kind, all), all);
}
