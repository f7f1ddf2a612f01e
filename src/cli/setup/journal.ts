/** Writes files for `fcgi2cgi setup`, keeps a record of them, and takes them away again. */

import { lstatSync, mkdirSync, readdirSync, rmdirSync, type Stats, statSync, unlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

import { reasonOf } from '../../base/errors.js';
import {
  contentOf,
  type Entry,
  failure,
  followed,
  replaceFile,
  requireOurs,
  stateAt,
  textAt,
  type Wanted,
  wholeTextAt,
  withBlock,
  writeAt,
} from './wanted.js';

const RECORD = '/var/lib/fcgi2cgi/setup.json';

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
    const record = textAt(this.#at(RECORD));
    this.#entries = record === '' ? [] : (JSON.parse(record) as Entry[]);
    for (const each of this.#entries) {
      const { kind, path, before } = each;
      if (before !== undefined && stateAt(this.#at(path), { kind, content: before }) === 'as written')
        each.content = before;
    }
  }

  /** Makes sure that `wanted` is there for `site`. @throws BridgeError where something else is there */
  add(site: string, asked: Wanted): void {
    const wanted = asked.kind === 'block' ? { ...asked, path: followed(this.#root, asked.path) } : asked;
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
        kind === 'directory' ? this.#isDirectory(path) : wanted.isForOthers === true && present !== undefined
      ) {
        this.#say('leaves as it is', path);
        return;
      }
      if (kind === 'directory' && present !== undefined)
        throw failure(path, 'is no directory, nor root’s link to one', 'name another one');
      if (kind !== 'block' && present !== undefined) {
        const cure = 'move it away, or remove it, and try again';
        throw failure(path, 'is there, and setup has not written it', cure);
      }
    } else if (stateAt(this.#at(path), mine) === 'changed') {
      this.#say('keeps what somebody has changed', path);
      this.#claim(mine, site);
      return;
    } else if (stateAt(this.#at(path), mine) === 'as written' && mine.content === contentOf(wanted)) {
      this.#say('is as it should be', path);
      this.#claim(mine, site);
      return;
    }
    if (kind !== 'directory' || mine === undefined) this.#makeParent(site, path);
    const before = mine?.content ?? '';
    if (kind === 'block') {
      const others = withBlock(wholeTextAt(this.#at(path)), before, '');
      const taken = wanted.taken?.(others);
      if (taken !== undefined) throw failure(path, taken, 'choose another name, or remove it there');
    }
    this.#say(kind === 'block' ? 'adds lines to' : 'writes', path);
    this.#planned.add(path);
    if (this.#isDry) return;
    requireOurs(this.#root, this.#at(dirname(path)));
    const isNew = present === undefined || this.#entries.some((each) => each.path === path && each.isNew);
    const entry = mine ?? { kind, path, content: '', isNew, sites: [] };
    if (mine === undefined) this.#entries.push(entry);
    entry.content = contentOf(wanted);
    entry.before = mine === undefined ? undefined : before;
    // Known before it is there: what an interrupted run leaves behind can be taken away.
    this.#claim(entry, site);
    writeAt(this.#at(path), wanted, before);
    entry.before = undefined;
  }

  /** Takes away what was written for `site` alone and is as written, last things first, but for what `isNeeded`. */
  undo(site: string, isNeeded: (path: string) => boolean = () => false): void {
    for (const entry of [...this.#entries].reverse()) {
      if (!entry.sites.includes(site)) continue;
      const isLast = entry.sites.length === 1;
      const isKept = isLast && isNeeded(entry.path);
      if (isLast && !isKept) this.#remove(entry);
      else this.#say('keeps, for other sites,', entry.path);
      if (this.#isDry || isKept) continue;
      entry.sites = entry.sites.filter((each) => each !== site);
      this.#entries = this.#entries.filter(({ sites }) => sites.length > 0);
      this.#save();
    }
  }

  /** Whether something was written for no site but this one. */
  isLast(site: string): boolean {
    return this.#entries.every(({ sites }) => sites.every((each) => each === site));
  }

  /** Whether something was written for the site, at such a path. */
  has(site: string, isMeant: (path: string) => boolean = () => true): boolean {
    return this.#entries.some(({ path, sites }) => sites.includes(site) && isMeant(path));
  }

  /** Lines that stay would name what goes. @throws BridgeError where somebody has changed lines of the site */
  requireUnchanged(site: string): void {
    const kept = this.#entries.find(
      (entry) =>
        entry.kind === 'block' &&
        entry.sites.includes(site) &&
        stateAt(this.#at(entry.path), entry) === 'changed',
    );
    if (kept === undefined) return;
    const [line = ''] = /^[^#\n].*$/m.exec(kept.content) ?? [];
    const cure = `remove ${line.startsWith('[') ? `the section ${line}` : `the line "${line}"`} yourself, and try again`;
    throw failure(
      kept.path,
      `somebody has changed what setup wrote for ${site}, and nothing was removed`,
      cure,
    );
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

  #remove(entry: Entry): void {
    const { kind, path, content, isNew } = entry;
    if (kind === 'log') this.#removeRotated(path);
    const state = stateAt(this.#at(path), entry);
    if (state === 'missing') return;
    if (state === 'changed') {
      this.#say('keeps what somebody has changed', path);
      return;
    }
    const others = kind === 'block' ? withBlock(wholeTextAt(this.#at(path)), content, '') : '';
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

  /** As logrotate(8) names them, with a number or a date. */
  #removeRotated(log: string): void {
    for (const name of readdirSync(this.#at(dirname(log)))) {
      const end = name.startsWith(basename(log)) ? name.slice(basename(log).length) : '';
      if (!/^[.-]\d+(\.\w+)?$/.test(end)) continue;
      this.#say('removes', log + end);
      if (!this.#isDry) unlinkSync(this.#at(log + end));
    }
  }

  #makeParent(site: string, path: string): void {
    const parent = dirname(path);
    if (parent === '/' || this.#planned.has(parent) || this.#present(parent) !== undefined) return;
    this.add(site, { kind: 'directory', path: parent, mode: 0o755 });
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

  /** A link has to be root's, who follows it. */
  #isDirectory(path: string): boolean {
    const present = this.#present(path);
    if (present?.isSymbolicLink() !== true) return present?.isDirectory() === true;
    return present.uid === process.geteuid?.() && statSync(this.#at(path)).isDirectory();
  }

  #say(what: string, path: string): void {
    this.#tell(`${this.#isDry ? 'would: ' : ''}${what} ${path}`);
  }

  #at(path: string): string {
    return join(this.#root, path);
  }
}
