/** Finds the program that a command names, before anything depends on it. */

import { type ByteString, toText } from '../bytes.js';
import { BridgeError } from '../errors.js';
import { isExecutable, statOrAbsent } from '../sites/contain.js';

/**
 * The path of the program: itself where it has a slash, else the first of that name in the directories of the
 * environment's PATH.
 *
 * @throws BridgeError `ERR_START` if there is none.
 */
export async function findProgram(
  name: ByteString,
  environment: ReadonlyMap<ByteString, ByteString>,
): Promise<ByteString> {
  const path = environment.get('PATH') ?? '';
  const candidates = name.includes('/') ? [name] : path.split(':').map((directory) => `${directory}/${name}`);
  for (const candidate of candidates) {
    if ((await statOrAbsent(candidate))?.isFile() === true && (await isExecutable(candidate)))
      return candidate;
  }
  const shown = toText(name);
  const problem = name.includes('/')
    ? `not an executable file; try chmod +x ${shown}`
    : 'there is no such program in PATH';
  throw new BridgeError('ERR_START', `worker ${shown}: ${problem}`);
}
