/** What `fcgi2cgi setup` writes, of each kind: how root writes it, and tells it from what somebody has made of it. */

import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  fchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';

import { BridgeError } from '../../base/errors.js';
import { readToml, type Section, TomlError } from '../toml-file/toml.js';

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** A thing that is to be there; `owner` is root where it is missing. */
export type Wanted = {
  readonly path: string;
  readonly owner?: Owner;
  /** May be there already, whatever it has in it. */
  readonly isForOthers?: boolean;
} & (
  | { readonly kind: 'directory'; readonly mode: number }
  | { readonly kind: 'file'; readonly text: string; readonly mode: number }
  | { readonly kind: 'link'; readonly target: string }
  /** What the service will write: it goes with the rest, unless it was there before. */
  | { readonly kind: 'log' }
  /** Lines of a file that may have others. `taken` says why they can't be added to `others`. */
  | {
      readonly kind: 'block';
      readonly text: string;
      readonly taken?: (others: string) => string | undefined;
    }
);

/** What was written: `content` is a hash, a link's target or a block's text; `isNew` says that the block's file is ours. */
export interface Entry {
  readonly kind: Wanted['kind'];
  readonly path: string;
  content: string;
  /** What is there instead of `content` where the run that was to change it has been interrupted. */
  before?: string | undefined;
  readonly isNew: boolean;
  sites: string[];
}

const hash = (text: string): string => createHash('sha256').update(text).digest('hex');

export function contentOf(wanted: Wanted): string {
  if (wanted.kind === 'directory' || wanted.kind === 'log') return '';
  if (wanted.kind === 'link') return wanted.target;
  return wanted.kind === 'file' ? hash(wanted.text) : wanted.text;
}

/** What has become, at the path `at`, of what was written. */
export function stateAt(
  at: string,
  { kind, content }: Pick<Entry, 'kind' | 'content'>,
): 'missing' | 'as written' | 'changed' {
  const present = lstatSync(at, { throwIfNoEntry: false });
  if (present === undefined) return 'missing';
  if (kind === 'block' && present.isFile()) return stateOf(at, textAt(at), content);
  const isSame = (): boolean => {
    if (kind === 'directory') return present.isDirectory();
    if (kind === 'link') return present.isSymbolicLink() && readlinkSync(at) === content;
    return present.isFile() && (kind === 'log' || hash(textAt(at)) === content);
  };
  return isSame() ? 'as written' : 'changed';
}

/** Writes it at the path `at`; a block takes the place of `before`. */
export function writeAt(at: string, wanted: Wanted, before: string): void {
  const { kind, owner } = wanted;
  if (kind === 'link') symlinkSync(wanted.target, at);
  else if (kind === 'block') replaceFile(at, withBlock(wholeTextAt(at), before, wanted.text));
  else if (kind === 'file') replaceFile(at, wanted.text, wanted.mode, owner);
  else if (kind === 'directory') {
    mkdirSync(at, { mode: 0o700 });
    settle(openSync(at, O_RDONLY | O_DIRECTORY | O_NOFOLLOW), wanted.mode, owner);
  }
}

/** The text of a regular file, and none where it is missing. */
export function textAt(at: string): string {
  const present = lstatSync(at, { throwIfNoEntry: false });
  if (present === undefined) return '';
  if (!present.isFile()) throw failure(at, 'is no regular file', 'move it away');
  return readFileSync(at, 'utf8');
}

/** The same, of a file that is to be written again with more or less in it. */
export function wholeTextAt(at: string): string {
  const text = textAt(at);
  if (text.includes('\uFFFD') && !isUtf8(readFileSync(at)))
    throw failure(at, 'is not in UTF-8, and would lose letters', 'convert it with iconv(1)');
  return text;
}

/** The file that a path means where it is a link of root's: only root may say which. */
export function followed(root: string, path: string): string {
  const at = join(root, path);
  if (lstatSync(at, { throwIfNoEntry: false })?.isSymbolicLink() !== true || !existsSync(at)) return path;
  requireOurs(root, dirname(at));
  return `/${relative(realpathSync(root === '' ? '/' : root), realpathSync(at))}`;
}

/** The sections of `text`, which is that of the file at `path`. @throws BridgeError where it is no TOML */
export function sectionsOf(path: string, text: string): readonly Section[] {
  try {
    return readToml(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const { line, column } = error.place;
    const where = `${path}:${String(line)}:${String(column)}`;
    throw new BridgeError('ERR_START', `${where}: ${error.message}`, { cause: error });
  }
}

/**
 * What has become of `block` in `text`, which is that of the file at `path`. In TOML, a key that somebody has added to
 * a section of the block changes the block: without the header, that key would belong to the section above.
 */
export function stateOf(path: string, text: string, block: string): 'missing' | 'as written' | 'changed' {
  const isWritten = `\n${text}`.split(block.startsWith('\n') ? block : `\n${block}`).length === 2;
  if (!path.endsWith('.toml')) {
    if (isWritten) return 'as written';
    return text.replaceAll(/#.*/g, '').includes(block.trim()) ? 'changed' : 'missing';
  }
  const [, ...written] = sectionsOf(path, block);
  const isOfBlock = ({ name }: Section): boolean =>
    written.some((section) => section.name.every((part, index) => part === name[index]));
  const present = sectionsOf(path, text).filter(isOfBlock);
  if (present.length === 0) return 'missing';
  return isWritten && shapeOf(present) === shapeOf(written) ? 'as written' : 'changed';
}

const shapeOf = (sections: readonly Section[]): string =>
  JSON.stringify(
    sections.map(({ name, entries }) => [name, entries.map(({ key, source }) => [key, source])]),
  );

/** `text` with `block` where `before` stands, or else at its end. */
export function withBlock(text: string, before: string, block: string): string {
  if (before !== '' && text.includes(before)) return text.replace(before, () => block);
  const isOpen = text !== '' && !text.endsWith('\n') && !block.startsWith('\n');
  return `${text}${isOpen ? '\n' : ''}${block}`;
}

const { O_WRONLY, O_CREAT, O_EXCL, O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;

/** What another user may replace, root does not touch by its name. @throws BridgeError for such a directory below `top` */
export function requireOurs(top: string, directory: string): void {
  const end = realpathSync(top === '' ? '/' : top);
  for (let each = realpathSync(directory); each !== end && each !== '/'; each = dirname(each)) {
    const { uid, mode } = lstatSync(each);
    if (uid === process.geteuid?.() && (mode & 0o022) === 0) continue;
    throw failure(each, 'belongs to another user, or others may write there', 'choose a directory of root’s');
  }
}

/** Another file takes the place of the one at `path`, with its mode and owner where no others are said. */
export function replaceFile(path: string, text: string, mode?: number, owner?: Owner): void {
  const before = lstatSync(path, { throwIfNoEntry: false });
  const temporary = `${path}.fcgi2cgi-new`;
  // Of a run that was killed: only root writes here.
  rmSync(temporary, { force: true });
  const descriptor = openSync(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    settle(descriptor, mode ?? (before === undefined ? 0o644 : before.mode & 0o7777), owner ?? before, text);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

function settle(descriptor: number, mode: number, owner?: Owner, text = ''): void {
  try {
    if (text !== '') writeFileSync(descriptor, text);
    if (owner !== undefined) fchownSync(descriptor, owner.uid, owner.gid);
    fchmodSync(descriptor, mode);
  } finally {
    closeSync(descriptor);
  }
}

export function failure(path: string, why: string, cure: string): BridgeError {
  return new BridgeError('ERR_START', `${path}: ${why}; ${cure}`);
}
