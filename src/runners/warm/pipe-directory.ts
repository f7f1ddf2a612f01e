/** The directory of the named pipes that a fork server makes for its processes. */

import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Linux keeps what is in there in memory. */
const MEMORY = '/dev/shm';

/**
 * Makes one for us alone (0700); its owner removes it. In memory, unless TMPDIR says where: each request makes and
 * removes three files, which a disk's file system has to write down, and for which ext4 has been seen to take as long as
 * for a fork.
 *
 * @throws Error of the system, with its `code`
 */
export async function makePipeDirectory(): Promise<string> {
  const make = (place: string): Promise<string> => mkdtemp(join(place, 'fcgi2cgi-'));
  if (process.platform !== 'linux' || process.env['TMPDIR'] !== undefined) return make(tmpdir());
  return make(MEMORY).catch(() => make(tmpdir()));
}
