/** The site that a command line describes for a command that serves nothing: one of a file, or as another command has it. */

import type { Configuration, ServedSiteConfiguration } from '../daemon/configuration.js';
import { OptionError } from '../errors.js';
import { readConfiguration } from './configuration.js';
import { readConfigurationFile } from './file/configuration-file.js';
import { OptionReader } from './option-reader.js';
import type { CommonArguments } from './options/common.js';
import { optionsOfKinds } from './options/describing.js';
import { type SiteKindName, siteKinds } from './site-kinds.js';

/** A site, and what else of its daemon its programs have. */
export interface DescribedSite {
  readonly served: ServedSiteConfiguration;
  readonly umask: number | undefined;
}

/**
 * The site of `--config` and `--site`, or that of `site-command` with its options and arguments, `more` of which follow
 * those that were given.
 *
 * @throws BridgeError `ERR_USAGE`, `ERR_START`
 */
export function describedSite(given: CommonArguments, more: readonly string[] = []): DescribedSite {
  const reader = new OptionReader(given);
  const file = reader.text('config');
  const { sites, umask } =
    file === undefined ? configurationOfCommand(given, more) : readConfigurationFile(file, {});
  return { served: siteNamed(sites, file === undefined ? undefined : reader.text('site')), umask };
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

/** What the command of that name would serve. @throws OptionError `ERR_USAGE` */
function configurationOfCommand(given: CommonArguments, more: readonly string[]): Configuration {
  const kind = given['site-command'] as SiteKindName | undefined;
  if (kind === undefined) {
    const why = 'is missing; name a configuration file, or the command of a site with its options';
    throw new OptionError('ERR_USAGE', { option: 'config', why });
  }
  const { options, read } = siteKinds[kind];
  const argument = [...((given['argument'] as string[] | undefined) ?? []), ...more];
  const all: Record<string, unknown> = { ...given, argument };
  for (const name of Object.keys(optionsOfKinds)) {
    if (all[name] !== undefined && name !== 'argument' && !(name in options)) {
      throw new OptionError('ERR_USAGE', { option: name, why: `is no option of ${kind}` });
    }
  }
  for (const [name, option] of Object.entries(options)) {
    all[name] ??= option.default;
    if (option.demandOption === true && all[name] === undefined) {
      throw new OptionError('ERR_USAGE', { option: name, why: `is missing; ${kind} needs it` });
    }
  }
  return readConfiguration(read(new OptionReader(all)), all);
}
