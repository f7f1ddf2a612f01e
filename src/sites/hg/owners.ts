/** Tells whose files a repository may use: what another user has below `--repos` is not for everybody. */

import type { ByteString } from '../../base/bytes.js';
import { contains } from '../contain.js';
import { type LookUp, lstatAt } from '../look-up.js';

const ROOT = 0;

/** Asks for owners only where something leads out of a repository; hgweb.cgi asks again (`Inside.may_use`). */
export class Owners {
  readonly #root: ByteString;

  /** All lies below the real path `root`. */
  constructor(root: ByteString) {
    this.#root = root;
  }

  /**
   * Whether the repository with this `.hg`, by the path that names it, may use what lies at the real path `real`. That
   * lies in the repository, or in another one of the same owner. Root and the daemon's user put links where they want.
   * The owner of `--repos` does not: he may rename what lies there, but move no directory of another user’s elsewhere.
   */
  *mayUse(dotHg: ByteString, real: ByteString): LookUp<boolean> {
    if (contains(dotHg, real)) return true;
    const owners = new Set<number | undefined>();
    for (const path of this.#way(dotHg)) owners.add((yield* lstatAt(path))?.uid);
    owners.delete(ROOT);
    owners.delete(process.getuid?.());
    const end = `${real}/`.lastIndexOf('/.hg/');
    const owner = (yield* lstatAt(end === -1 ? real : `${real.slice(0, end)}/.hg`))?.uid;
    return owners.size === 0 || (owners.size === 1 && owners.has(owner));
  }

  /** The same for a file that is only read: each user of the system may read it, too. */
  *mayRead(dotHg: ByteString, real: ByteString): LookUp<boolean> {
    if (yield* this.mayUse(dotHg, real)) return true;
    for (const path of this.#way(real)) {
      const stats = yield* lstatAt(path);
      const needed = path === real ? 0o004 : 0o001;
      if (stats === undefined || (stats.mode & needed) === 0) return false;
    }
    return true;
  }

  /** The paths of what lies below the root on the way to a path, and that path. */
  #way(path: ByteString): readonly ByteString[] {
    const above = this.#root === '/' ? '' : this.#root;
    const parts = path.slice(above.length + 1).split('/');
    return parts.map((_, index) => `${above}/${parts.slice(0, index + 1).join('/')}`);
  }
}
