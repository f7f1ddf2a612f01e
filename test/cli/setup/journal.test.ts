import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { Journal, type Wanted } from '../../../src/cli/setup/journal.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

const own = '# my own\n[site.old]\nkind = "hg"\n';
const block: Wanted = { kind: 'block', path: '/etc/f.toml', text: '\n[site.new]\nkind = "git"\n' };
const wanted: readonly Wanted[] = [
  { kind: 'directory', path: '/srv/hg', mode: 0o755 },
  { kind: 'file', path: '/etc/init.d/f', text: 'script', mode: 0o755 },
  { kind: 'link', path: '/etc/enabled', target: 'init.d/f' },
  block,
];

/** A machine with nothing but /etc and a configuration of its administrator's. */
async function machine(): Promise<string> {
  const root = await temporaryDirectory();
  await mkdir(join(root, 'etc'), { mode: 0o755 });
  await mkdir(join(root, 'var/lib'), { recursive: true, mode: 0o755 });
  await writeFile(join(root, 'etc/f.toml'), own);
  return root;
}

/** Each time from what the record says, as another run of the command would. */
const journal = (root: string, isDry = false, lines: string[] = []): Journal =>
  new Journal(root, isDry, (line) => void lines.push(line));

function addAll(root: string, site: string): string[] {
  const lines: string[] = [];
  const writing = journal(root, false, lines);
  for (const each of wanted) writing.add(site, each);
  return lines;
}

const listing = async (root: string): Promise<string[]> => (await readdir(root, { recursive: true })).sort();

describe('What setup writes', () => {
  it('takes with it the log that the service has written since, and no log that was there before', async () => {
    for (const was of ['there', 'missing']) {
      const root = await machine();
      const log = join(root, 'var/log');
      if (was === 'there') await writeFile(log, 'before\n');
      for (const site of ['a', 'b', 'a']) journal(root).add(site, { kind: 'log', path: '/var/log' });
      await writeFile(log, 'by the service\n', { flag: 'a' });
      journal(root).undo('a');
      assert.equal((await listing(root)).includes('var/log'), true);
      journal(root).undo('b');
      assert.equal((await listing(root)).includes('var/log'), was === 'there', was);
      assert.equal((await listing(root)).includes('var/lib/fcgi2cgi'), false);
    }
  });

  it('is taken away without a trace, and leaves what others wrote in the same file', async () => {
    const root = await machine();
    const before = await listing(root);
    // Others may not read it, before or after.
    const mode = async (): Promise<number> => (await stat(join(root, 'etc/f.toml'))).mode & 0o777;
    await chmod(join(root, 'etc/f.toml'), 0o640);
    addAll(root, 'a');
    assert.equal(await mode(), 0o640);
    assert.ok((await listing(root)).includes('srv/hg'));
    assert.ok((await readFile(join(root, 'etc/f.toml'), 'utf8')).startsWith(`${own}\n[site.new]`));
    journal(root).undo('a');
    assert.deepEqual(await listing(root), before);
    assert.equal(await readFile(join(root, 'etc/f.toml'), 'utf8'), own);
    assert.equal(await mode(), 0o640);
  });

  it('is written once, however often it is asked for', async () => {
    const root = await machine();
    addAll(root, 'a');
    const lines = addAll(root, 'a');
    assert.ok(
      lines.every((line) => line.startsWith('is as it should be ')),
      lines.join('\n'),
    );
  });

  it('stays when somebody has changed it, and when another site needs it', async () => {
    const root = await machine();
    addAll(root, 'a');
    addAll(root, 'b');
    journal(root).undo('a');
    assert.equal(await readFile(join(root, 'etc/init.d/f'), 'utf8'), 'script');
    await writeFile(join(root, 'etc/init.d/f'), 'changed');
    await writeFile(join(root, 'srv/hg/repository'), '');
    journal(root).undo('b');
    assert.equal(await readFile(join(root, 'etc/init.d/f'), 'utf8'), 'changed');
    assert.ok((await listing(root)).includes('srv/hg/repository'));
  });

  it('takes a directory with it that two sites have something in, whichever of them goes first', async () => {
    for (const [first, last] of [
      ['a', 'b'],
      ['b', 'a'],
    ] as const) {
      const root = await machine();
      const before = await listing(root);
      for (const site of ['a', 'b']) {
        journal(root).add(site, { kind: 'directory', path: `/www/${site}`, mode: 0o755 });
        journal(root).add(site, { kind: 'file', path: '/etc/unit.d/user', text: '', mode: 0o644 });
      }
      journal(root).undo(first);
      assert.ok((await listing(root)).includes('etc/unit.d/user'));
      journal(root).undo(last);
      assert.deepEqual(await listing(root), before);
    }
  });

  it('is nothing at all when it is only to be told', async () => {
    const root = await machine();
    const before = await listing(root);
    const lines: string[] = [];
    const telling = journal(root, true, lines);
    for (const each of wanted) telling.add('a', each);
    assert.deepEqual(await listing(root), before);
    assert.ok(lines.includes('would: adds lines to /etc/f.toml'));
  });

  it('takes the place of nothing that is there already', async () => {
    const root = await machine();
    await mkdir(join(root, 'etc/init.d'));
    await writeFile(join(root, 'etc/init.d/f'), 'other');
    assert.throws(() => addAll(root, 'a'), /\/etc\/init.d\/f: is there, and setup has not written it; move/);
    assert.equal(await readFile(join(root, 'etc/init.d/f'), 'utf8'), 'other');
  });

  it('is never where others may write, also by a link', async () => {
    const root = await machine();
    await mkdir(join(root, 'open'));
    await chmod(join(root, 'open'), 0o777);
    await symlink('open', join(root, 'link'));
    for (const path of ['/open/f', '/link/f', '/open/g/f']) {
      const file: Wanted = { kind: 'file', path, text: '', mode: 0o644 };
      assert.throws(() => {
        journal(root).add('a', file);
      }, /others may write there/);
    }
    assert.deepEqual(await readdir(join(root, 'open')), []);
  });
});
