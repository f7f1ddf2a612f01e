/** The options by which a command that serves nothing is told of a site. */

import type { Options } from 'yargs';

import { siteKinds } from '../site-kinds.js';
import { commonOptions } from './common.js';

/** Which of the options that describe a site are arguments of its command. */
const argumentNames = ['file', 'argument'];

/** Those of each kind of site. */
export const optionsOfKinds: Readonly<Record<string, Options>> = Object.assign(
  {},
  ...Object.values(siteKinds).map(({ options }) => options),
) as Record<string, Options>;

/** All options by which a site may be described: none is required, and what was not said shows as such. */
export const describingOptions: Readonly<Record<string, Options>> = {
  ...commonOptions,
  ...Object.fromEntries(
    Object.entries(optionsOfKinds)
      .filter(([name]) => !argumentNames.includes(name))
      .map(([name, option]) => [name, unsaid(option)]),
  ),
};

function unsaid(option: Options): Options {
  const properties = Object.entries(option).filter(([name]) => !/^(default|demandOption)$/.test(name));
  return Object.fromEntries(properties);
}
