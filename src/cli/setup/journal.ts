/** Writes files for `fcgi2cgi setup`, keeps a record of them, and takes them away again. */

import { createHash } from 'node:crypto';
import {
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  type Stats,
  symlinkSync,
  unlinkSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

import { reasonOf } from '../../base/errors.js';
import { failure, makeDirectory, type Owner, replaceFile, requireOurs } from './root-files.js';

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
  /** Lines at the end of a file that may have others. `taken` says why they can't be added to `others`. */
  | {
      readonly kind: 'block';
      readonly text: string;
      readonly taken?: (others: string) => string | undefined;
    }
);

/** What was written: `content` is a hash, a link's target or a block's text; `isNew` says that the block's file is ours. */
interface Entry {
  readonly kind: Wanted['kind'];
  readonly path: string;
  content: string;
  readonly isNew: boolean;
  sites: string[];
}

const RECORD = '/var/lib/fcgi2cgi/setup.json';

const hash = (text: string | Buffer): string => createHash('sha256').update(text).digest('hex');

export class Journal {
  readonly #root: string;
  readonly #isDry: boolean;
  readonly #tell: (line: string) => void;
  #entries: Entry[];
  /** What this run makes, or would make. */
  readonly #planned = new Set<string>();

  /** Paths begin at `root`, which is / but in tests. `isDry` has it only tell what it would do. */
  constructor(root: string, isDry: boolean, tell: (line: string) => void) {
    this.#root = root === '/' ? '' : root;
    this.#isDry = isDry;
    this.#tell = tell;
    const read = this.#read(RECORD);
    this.#entries = read === undefined ? [] : (JSON.parse(read.toString()) as Entry[]);
  }

  /** Makes sure that `wanted` is there for `site`. @throws BridgeError where something else is there */
  add(site: string, wanted: Wanted): void {
    const { kind, path } = wanted;
    const mine = this.#entries.find(
      (entry) => entry.path === path && entry.kind === kind && this.#is(entry, wanted, site),
    );
    const present = this.#present(path);
    if (kind === 'log') {
      const own = mine ?? { kind, path, content: '', isNew: true, sites: [] };
      if (this.#isDry || (mine === undefined && present !== undefined)) return;
      if (mine === undefined) this.#entries.push(own);
      this.#claim(own, site);
      return;
    }
    if (mine === undefined) {
      if (
        kind === 'directory' ? present?.isDirectory() : wanted.isForOthers === true && present !== undefined
      ) {
        this.#say('leaves as it is', path);
        return;
      }
      if (kind !== 'block' && present !== undefined) {
        throw failure(
          path,
          'is there, and setup has not written it',
          'move it away, or remove it, and try again',
        );
      }
    } else if (this.#state(mine) === 'changed') {
      this.#say('keeps what somebody has changed', path);
      this.#claim(mine, site);
      return;
    } else if (this.#state(mine) === 'as written' && mine.content === contentOf(wanted)) {
      this.#say('is as it should be', path);
      this.#claim(mine, site);
      return;
    }
    if (kind !== 'directory' || mine === undefined) this.#makeParent(site, path);
    const others = kind === 'block' ? this.#others(path, mine) : '';
    const taken = kind === 'block' ? wanted.taken?.(others) : undefined;
    if (taken !== undefined) throw failure(path, taken, 'choose another name, or remove it there');
    this.#say(kind === 'block' ? 'adds lines to' : 'writes', path);
    this.#planned.add(path);
    if (this.#isDry) return;
    requireOurs(this.#root, this.#at(dirname(path)));
    const isNew = present === undefined || this.#entries.some((each) => each.path === path && each.isNew);
    const entry = mine ?? { kind, path, content: '', isNew, sites: [] };
    if (mine === undefined) this.#entries.push(entry);
    entry.content = contentOf(wanted);
    // Known before it is there: what an interrupted run leaves behind can be taken away.
    this.#claim(entry, site);
    this.#write(wanted, others);
  }

  /** Takes away what was written for `site` alone and is as it was written, last things first. */
  undo(site: string): void {
    for (const entry of [...this.#entries].reverse()) {
      if (!entry.sites.includes(site)) continue;
      if (entry.sites.length === 1) this.#remove(entry);
      else this.#say('keeps, for other sites,', entry.path);
      if (this.#isDry) continue;
      entry.sites = entry.sites.filter((each) => each !== site);
      this.#entries = this.#entries.filter(({ sites }) => sites.length > 0);
      this.#save();
    }
  }

  /** Whether something was written for no site but this one. */
  isLast(site: string): boolean {
    return this.#entries.every(({ sites }) => sites.every((each) => each === site));
  }

  has(site: string): boolean {
    return this.#entries.some(({ sites }) => sites.includes(site));
  }

  #is(entry: Entry, wanted: Wanted, site: string): boolean {
    return wanted.kind !== 'block' || entry.sites.includes(site) || entry.content === wanted.text;
  }

  #claim(entry: Entry, site: string): void {
    if (this.#isDry) return;
    for (const each of this.#entries) {
      // A directory goes with the last site that has something in it.
      const isNeeded =
        each === entry || (each.kind === 'directory' && entry.path.startsWith(`${each.path}/`));
      if (isNeeded && !each.sites.includes(site)) each.sites.push(site);
    }
    this.#save();
  }

  #state({ kind, path, content }: Entry): 'missing' | 'as written' | 'changed' {
    const present = this.#present(path);
    if (present === undefined) return 'missing';
    const isSame = (): boolean => {
      if (kind === 'directory') return present.isDirectory();
      if (kind === 'link') return present.isSymbolicLink() && readlinkSync(this.#at(path)) === content;
      if (!present.isFile() || kind === 'log') return present.isFile();
      const bytes = this.#read(path) ?? Buffer.alloc(0);
      return kind === 'file' ? hash(bytes) === content : bytes.toString().split(content).length === 2;
    };
    return isSame() ? 'as written' : 'changed';
  }

  /** What a file has beside the block. */
  #others(path: string, mine: Entry | undefined): string {
    return (this.#read(path)?.toString() ?? '').replace(mine?.content ?? '', () => '');
  }

  #remove(entry: Entry): void {
    const { kind, path, isNew } = entry;
    const state = this.#state(entry);
    if (state === 'missing') return;
    if (state === 'changed') {
      this.#say('keeps what somebody has changed', path);
      return;
    }
    const others = kind === 'block' ? this.#others(path, entry) : '';
    this.#say(others === '' ? 'removes' : 'removes its lines from', path);
    if (this.#isDry) return;
    if (kind !== 'log') requireOurs(this.#root, this.#at(dirname(path)));
    if (kind === 'directory') {
      try {
        rmdirSync(this.#at(path));
      } catch (error) {
        this.#say(`keeps (${reasonOf(error)})`, path);
      }
    } else if (kind !== 'block' || (others === '' && isNew)) unlinkSync(this.#at(path));
    else replaceFile(this.#at(path), others);
  }

  #makeParent(site: string, path: string): void {
    const parent = dirname(path);
    if (parent === '/' || this.#planned.has(parent) || this.#present(parent) !== undefined) return;
    this.add(site, { kind: 'directory', path: parent, mode: 0o755 });
  }

  #write(wanted: Wanted, others: string): void {
    const { kind, path, owner } = wanted;
    if (kind === 'link') symlinkSync(wanted.target, this.#at(path));
    else if (kind === 'block') replaceFile(this.#at(path), others + wanted.text);
    else if (kind === 'file') replaceFile(this.#at(path), wanted.text, wanted.mode, owner);
    else if (kind === 'directory') makeDirectory(this.#at(path), wanted.mode, owner);
  }

  #save(): void {
    const directory = dirname(RECORD);
    if (this.#entries.length === 0) {
      unlinkSync(this.#at(RECORD));
      rmdirSync(this.#at(directory));
      return;
    }
    mkdirSync(this.#at(directory), { recursive: true, mode: 0o755 });
    requireOurs(this.#root, this.#at(directory));
    replaceFile(this.#at(RECORD), `${JSON.stringify(this.#entries, undefined, 2)}\n`, 0o600);
  }

  #present(path: string): Stats | undefined {
    return lstatSync(this.#at(path), { throwIfNoEntry: false });
  }

  #read(path: string): Buffer | undefined {
    const present = this.#present(path);
    if (present === undefined) return undefined;
    if (!present.isFile()) throw failure(path, 'is no regular file', 'move it away');
    return readFileSync(this.#at(path));
  }

  #say(what: string, path: string): void {
    this.#tell(`${this.#isDry ? 'would: ' : ''}${what} ${path}`);
  }

  #at(path: string): string {
    return join(this.#root, path);
  }
}

function contentOf(wanted: Wanted): string {
  if (wanted.kind === 'directory' || wanted.kind === 'log') return '';
  if (wanted.kind === 'link') return wanted.target;
  return wanted.kind === 'file' ? hash(wanted.text) : wanted.text;
}
