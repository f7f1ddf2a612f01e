/** What `fcgi2cgi setup` writes, of each kind: how it is written, and told from what somebody has made of it. */

import { createHash } from 'node:crypto';
import { lstatSync, readFileSync, readlinkSync, symlinkSync } from 'node:fs';

import { stateOf, withBlock } from './block.js';
import { failure, makeDirectory, type Owner, replaceFile } from './root-files.js';

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
  else if (kind === 'block') replaceFile(at, withBlock(textAt(at), before, wanted.text));
  else if (kind === 'file') replaceFile(at, wanted.text, wanted.mode, owner);
  else if (kind === 'directory') makeDirectory(at, wanted.mode, owner);
}

/** The text of a regular file, and none where it is missing. */
export function textAt(at: string): string {
  const present = lstatSync(at, { throwIfNoEntry: false });
  if (present === undefined) return '';
  if (!present.isFile()) throw failure(at, 'is no regular file', 'move it away');
  return readFileSync(at, 'utf8');
}
