/** Gives a file another name as a lock does: to the first who asks. */

import { link } from 'node:fs/promises';

import { systemCodeOf } from '../errors.js';

/** Gives a file another name besides, if that is free; says whether it was. @throws Error of the system, with its `code`. */
export async function linked(file: string, name: string): Promise<boolean> {
  try {
    await link(file, name);
    return true;
  } catch (error) {
    if (systemCodeOf(error) !== 'EEXIST') throw error;
    return false;
  }
}
