/** What stands after `--` on a command line. */

import type { CommonArguments } from './options/common.js';

export function afterDashes(given: CommonArguments): readonly string[] {
  return (given['--'] as (string | number)[] | undefined)?.map(String) ?? [];
}
