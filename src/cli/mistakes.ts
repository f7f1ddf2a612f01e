/** Mistakes on a command line that yargs would take for something else. */

import type { Argv, Options } from 'yargs';

import { BridgeError } from '../errors.js';
import { afterDashes } from './after-dashes.js';
import { type CommonArguments, commonOptions } from './options/common.js';
import { getOptions, verifyOptions } from './options/request.js';

/** Has each of them refused. */
export function refuseMistakes(commands: Argv): Argv {
  return commands.check(onlyOnce).check(noneEmpty).check(nothingLeftOver);
}

/** An option that is no list and is given twice is a mistake; yargs would make a list of it. */
function onlyOnce(given: CommonArguments): true {
  const options: Readonly<Record<string, Options>> = { ...commonOptions, ...getOptions, ...verifyOptions };
  const lists = ['_', '--', 'argument', ...Object.keys(options).filter((name) => options[name]?.array)];
  for (const [name, value] of Object.entries(given)) {
    if (Array.isArray(value) && !lists.includes(name)) {
      throw new BridgeError(
        'ERR_USAGE',
        `--${name} is given ${String(value.length)} times, but has one value`,
      );
    }
  }
  return true;
}

/** An empty value is a variable that somebody's script forgot to set: as a path it would be the working directory. */
function noneEmpty(given: CommonArguments): true {
  for (const [name, value] of Object.entries(given)) {
    if (value !== '' || name === 'url-prefix') continue;
    throw new BridgeError(
      'ERR_USAGE',
      `${name === 'file' ? 'FILE' : `--${name}`} is empty; expected a value`,
    );
  }
  return true;
}

/** Only `script` and `worker` have arguments to pass on, `explain` a path, and `verify` paths. */
function nothingLeftOver(given: CommonArguments): true {
  const [command] = given['_'] as (string | undefined)[];
  const [extra] = afterDashes(given);
  const isTaken = ['script', 'worker', 'explain', 'verify'].includes(command ?? '');
  if (isTaken || extra === undefined) return true;
  throw new BridgeError('ERR_USAGE', `${String(command)} takes no arguments, and got ${extra}`);
}
