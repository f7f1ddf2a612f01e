/** Says why nothing is published at a path: to the administrator, once that nothing is was found. */

import { accessSync, constants } from 'node:fs';

import { type ByteString, toBuffer, toText } from '../base/bytes.js';
import { reasonOf } from '../base/errors.js';
import { ownName } from '../base/executable.js';
import {
  type LookUp,
  lstatAt,
  MAX_TEXT_BYTES,
  mayExecute,
  mayRead,
  mayWrite,
  realPathAt,
  statAt,
} from './look-up.js';
import { refuse, type Resolution } from './site.js';

/** The refusal where a file that belongs to the bridge can't be read, as while a package manager replaces the bridge. */
export function lostFile(path: ByteString): Resolution | undefined {
  try {
    accessSync(toBuffer(path), constants.R_OK);
    return undefined;
  } catch (error) {
    return refuse(500, 'A file of this site is missing.', `${reasonOf(error)}; install fcgi2cgi again`);
  }
}

/** What publishes repositories (`publication.ts`). */
export interface Publishing {
  /** The directory of repositories, as a real path: nothing outside it is ever published. */
  readonly repos: ByteString;
  /** The directory of marker files, as a real path; without it every repository is published under its own name. */
  readonly markers: ByteString | undefined;
  /** How a marker's name ends: `.hg`. */
  readonly suffix: string;
  /** Whether a marker means a repository of exactly its name, where there is one, rather than one without the suffix. */
  readonly mayKeepSuffix?: boolean;
  /** What the directory at a path lacks to be a repository. */
  readonly lackOf: (path: ByteString) => LookUp<string>;
}

/** The empty file beside the markers that publishes their index; part of its URL with suffix-matching web servers. */
export const INDEX_FILE = 'index.fcgi';
export const belowIndex = `below ${INDEX_FILE} there are only the static files of pages`;

/** Why no repository and no list is published at a path below the site; its segments are safe. */
export function* whyNotPublished(publishing: Publishing, path: readonly ByteString[]): LookUp<string> {
  const { markers, repos, suffix } = publishing;
  const walked = markers ?? repos;
  for (const [index, name] of path.entries()) {
    if (name.startsWith('.')) return `${toText(name)} begins with a dot: such names are not published`;
    const [above, segments] = [path.slice(0, index), path.slice(0, index + 1)];
    const at = [walked, ...segments].join('/');
    const stats = yield* lstatAt(at);
    if (stats?.isDirectory() === true && index < path.length - 1) continue;
    if (markers === undefined) {
      const named = stats === undefined && (yield* lstatAt(at + suffix)) !== undefined ? at + suffix : at;
      const why = yield* whyNoRepository(publishing, [named]);
      if (stats !== undefined || index === 0) return why;
      const outer = yield* whyNoRepository(publishing, [[repos, ...above].join('/')]);
      return `${why}; ${outer}`;
    }
    if (stats?.isDirectory() === true && !name.endsWith(suffix)) {
      return `${toText(at)} has no published repository in it, or no ${INDEX_FILE} publishes its list`;
    }
    if (stats?.isSymbolicLink() === true && !name.endsWith(suffix)) {
      return `${toText(at)} is a symbolic link; markers and their directories are none`;
    }
    if (stats !== undefined && !name.endsWith(suffix)) {
      return `${toText(at)} is no marker: its name does not end in ${suffix}`;
    }
    const last = name.endsWith(suffix) ? name : name + suffix;
    return yield* whyNotByMarker(publishing, [...above, last]);
  }
  return `there is no ${toText(walked)}/${INDEX_FILE}, an empty file that publishes the list`;
}

function* whyNotByMarker(publishing: Publishing, segments: readonly ByteString[]): LookUp<string> {
  const { markers = '', repos, suffix, mayKeepSuffix } = publishing;
  const marker = [markers, ...segments].join('/');
  const shown = toText(marker);
  const stats = yield* lstatAt(marker);
  if (stats === undefined) {
    const why = yield* whyUnreachable(marker);
    return why === `there is no ${shown}` ? `there is no marker ${shown}; touch makes one` : why;
  }
  const expected = 'a marker is an empty file';
  if (stats.isSymbolicLink()) return `${shown} is a symbolic link; ${expected}`;
  if (stats.isDirectory()) return `${shown} is a directory; ${expected}`;
  if (!stats.isFile()) return `${shown} is no regular file; ${expected}`;
  if (stats.size > 0) return `${shown} has ${String(stats.size)} bytes in it; ${expected}`;
  const exact = [repos, ...segments].join('/');
  const names = [exact.slice(0, -suffix.length), ...(mayKeepSuffix === true ? [exact] : [])];
  return `${yield* whyNoRepository(publishing, names)}; the marker is ${shown}`;
}

/** Why none of these paths is a repository; without one that is there at all, the first is the one that is missed. */
function* whyNoRepository({ lackOf }: Publishing, paths: readonly ByteString[]): LookUp<string> {
  for (const path of paths) {
    if ((yield* lstatAt(path)) === undefined) continue;
    return `${toText(path)} is not a repository: ${yield* lackOf(path)}`;
  }
  return yield* whyUnreachable(paths[0] ?? '');
}

/** Why nothing can be reached at an absolute path: what is missing, or may not be entered. */
export function* whyUnreachable(path: ByteString): LookUp<string> {
  let at = '';
  for (const name of path.split('/').slice(1)) {
    const directory = at === '' ? '/' : at;
    if (!(yield* mayExecute(directory))) return `${toText(directory)} may not be entered by ${ownName()}`;
    at += `/${name}`;
    const stats = yield* lstatAt(at);
    if (stats === undefined) return `there is no ${toText(at)}`;
    if (stats.isSymbolicLink() && (yield* realPathAt(at)) === undefined) {
      return `${toText(at)} is a symbolic link to nothing that can be reached`;
    }
    if (stats.isFile() && at !== path) return `${toText(at)} is no directory`;
  }
  return `${toText(path)} is not what is expected there`;
}

/** Why a file or a directory that is there could not be read; `otherwise` where its permissions are not the reason. */
export function* whyUnread(path: ByteString, otherwise: string): LookUp<string> {
  if (yield* mayRead(path)) return `${toText(path)} ${otherwise}`;
  return `${toText(path)} may not be read by ${ownName()}`;
}

/** Why there is no text at a path (`textAt`). */
export function* whyNoText(path: ByteString, maxBytes = MAX_TEXT_BYTES): LookUp<string> {
  const stats = yield* statAt(path);
  if (stats?.isFile() === true && stats.size > maxBytes)
    return `${toText(path)} has ${String(stats.size)} bytes; make it at most ${String(maxBytes)}`;
  return yield* whyUnread(path, 'is no file that can be read');
}

/** Why nothing can be added to a directory that is there, and what to do; undefined where something can. */
export function* whyUnwritable(path: ByteString): LookUp<string | undefined> {
  if ((yield* statAt(path)) === undefined || (yield* mayWrite(path))) return undefined;
  return `${toText(path)} may not be written by ${ownName()}; give the repository to that user, or mount it writable`;
}
