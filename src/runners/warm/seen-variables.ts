/** Variables that were read while a script was loaded, and so decided what it has become. */

import type { ByteString } from '../../bytes.js';
import type { Variables } from './messages.js';

/** Those without a value were not there. */
export type SeenVariables = ReadonlyMap<ByteString, ByteString | undefined>;

export function seenAmong(variables: Variables, names: readonly ByteString[]): SeenVariables {
  return new Map(names.map((name) => [name, variables.get(name)]));
}

/** Whether what was loaded for the values that were seen is what would be loaded for these. */
export function fits(seen: SeenVariables, variables: Variables): boolean {
  for (const [name, value] of seen) {
    if (variables.get(name) !== value) return false;
  }
  return true;
}
