import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, readdir, rm, rmdir, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { Journal } from '../../../src/cli/setup/journal.js';
import { replaceFile, type Wanted } from '../../../src/cli/setup/wanted.js';
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
  it('takes with it the log that the service has written since, what was rotated of it, and no log that was there before', async () => {
    for (const was of ['there', 'missing']) {
      const root = await machine();
      const log = join(root, 'var/log');
      if (was === 'there') await writeFile(log, 'before\n');
      for (const site of ['a', 'b', 'a']) journal(root).add(site, { kind: 'log', path: '/var/log' });
      await writeFile(log, 'by the service\n', { flag: 'a' });
      for (const end of ['.1', '.2.gz', '-20261130.gz', '.conf', '2']) await writeFile(log + end, '');
      journal(root).undo('a');
      const all = await listing(root);
      assert.equal(all.includes('var/log'), true);
      journal(root, true).undo('b');
      assert.deepEqual(await listing(root), all);
      journal(root).undo('b');
      const rotated = (await listing(root)).filter((path) => /^var\/log[.-]\d/.test(path));
      assert.equal(rotated.length, was === 'there' ? 3 : 0);
      assert.equal((await listing(root)).includes('var/log.conf'), true);
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

  it('stays where the file has a site of somebody else’s that needs it, until there is no such site', async () => {
    const root = await machine();
    const before = await listing(root);
    addAll(root, 'a');
    addAll(root, 'b');
    const isNeeded = (path: string): boolean => path.startsWith('/etc/init.d');
    journal(root).undo('b', isNeeded);
    journal(root).undo('a', isNeeded);
    assert.equal(await readFile(join(root, 'etc/f.toml'), 'utf8'), own);
    assert.ok((await listing(root)).includes('etc/init.d/f'));
    journal(root).undo('a');
    assert.deepEqual(await listing(root), before);
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

  it('leaves a key in the section it was added to, whatever is run next', async () => {
    const other: Wanted = { ...block, text: '\n[site.new]\nkind = "hg"\n' };
    for (const added of [
      'max-requests = 1\n',
      '# mine\n\nx = """\n[a]\n"""\n',
      '[site.new.env]\nx = "1"\n',
    ]) {
      const root = await machine();
      const file = join(root, 'etc/f.toml');
      journal(root).add('a', block);
      await writeFile(file, added, { flag: 'a' });
      journal(root).add('b', { ...block, text: '\n[site.b]\n' });
      const before = await readFile(file, 'utf8');
      const lines: string[] = [];
      journal(root, false, lines).add('a', other);
      assert.deepEqual(lines, ['keeps what somebody has changed /etc/f.toml']);
      assert.throws(() => {
        journal(root).requireUnchanged('a');
      }, /f\.toml: somebody has changed .* nothing was removed; remove the section \[site\.new\] yourself/);
      journal(root).undo('a');
      assert.equal(await readFile(file, 'utf8'), before);
      await writeFile(file, own);
      journal(root).requireUnchanged('a');
    }
  });

  it('stays where it is when it becomes another, and comes back where it was taken out', async () => {
    const root = await machine();
    const file = join(root, 'etc/f.toml');
    addAll(root, 'a');
    const after = '# about the next\n[site.next]\nkind = "hg"\n';
    await writeFile(file, after, { flag: 'a' });
    const other: Wanted = { ...block, text: '\n[site.new]\nkind = "hg"\n' };
    journal(root).add('a', other);
    assert.equal(await readFile(file, 'utf8'), own + other.text + after);
    await writeFile(file, own);
    journal(root).add('a', other);
    assert.equal(await readFile(file, 'utf8'), own + other.text);
  });

  it('begins a line of its own', async () => {
    const root = await machine();
    const file = join(root, 'etc/Caddyfile');
    await writeFile(file, 'import own');
    const line: Wanted = { kind: 'block', path: '/etc/Caddyfile', text: 'import new\n' };
    for (const site of ['a', 'a']) journal(root).add(site, line);
    assert.equal(await readFile(file, 'utf8'), 'import own\nimport new\n');
    await writeFile(file, '# import new\n  import new # mine\n');
    journal(root).undo('a');
    assert.equal(await readFile(file, 'utf8'), '# import new\n  import new # mine\n');
  });

  it('is written where a link of root’s leads, and the link stays', async () => {
    const root = await machine();
    await mkdir(join(root, 'srv'), { mode: 0o755 });
    await writeFile(join(root, 'srv/Caddyfile'), 'import own\n');
    await symlink('../srv/Caddyfile', join(root, 'etc/Caddyfile'));
    const before = await listing(root);
    const line: Wanted = { kind: 'block', path: '/etc/Caddyfile', text: 'import new\n' };
    for (const site of ['a', 'a']) journal(root).add(site, line);
    assert.equal(await readFile(join(root, 'srv/Caddyfile'), 'utf8'), 'import own\nimport new\n');
    journal(root).undo('a');
    assert.equal(await readFile(join(root, 'etc/Caddyfile'), 'utf8'), 'import own\n');
    assert.deepEqual(await listing(root), before);
    await chmod(join(root, 'srv'), 0o777);
    assert.throws(() => {
      journal(root).add('a', line);
    }, /srv: belongs to another user, or others may write there/);
    await rm(join(root, 'srv'), { recursive: true });
    assert.throws(() => {
      journal(root).add('a', line);
    }, /Caddyfile: is no regular file/);
  });

  it('is nowhere in a file that is not UTF-8, whose letters would be lost', async () => {
    const root = await machine();
    const file = join(root, 'etc/Caddyfile');
    const line: Wanted = { kind: 'block', path: '/etc/Caddyfile', text: 'import new\n' };
    const old = Buffer.from('# caf\xe9\n', 'latin1');
    await writeFile(file, old);
    assert.throws(() => {
      journal(root).add('a', line);
    }, /Caddyfile: is not in UTF-8, and would lose letters; convert it with iconv/);
    assert.deepEqual(await readFile(file), old);
    assert.equal((await listing(root)).includes('var/lib/fcgi2cgi'), false);
    await writeFile(file, '# caf\u{fffd}\n');
    journal(root).add('a', line);
    assert.equal(await readFile(file, 'utf8'), '# caf\u{fffd}\nimport new\n');
  });

  it('can be written again, and taken away, where a run was interrupted', async () => {
    const root = await machine();
    const before = await listing(root);
    const file = join(root, 'etc/f.toml');
    const other: Wanted = { ...block, text: '\n[site.new]\nkind = "hg"\n' };
    await mkdir(join(root, 'var/lib/fcgi2cgi'));
    for (const path of [file, join(root, 'var/lib/fcgi2cgi/setup.json')])
      await writeFile(`${path}.fcgi2cgi-new`, 'half', { mode: 0o400 });
    addAll(root, 'a');
    // What can't be written: another file can't take its place.
    await mkdir(`${file}.fcgi2cgi-new`);
    assert.throws(() => {
      journal(root).add('a', other);
    });
    await rmdir(`${file}.fcgi2cgi-new`);
    journal(root).add('a', other);
    assert.equal(await readFile(file, 'utf8'), own + other.text);
    journal(root).undo('a');
    assert.deepEqual(await listing(root), before);
    assert.throws(() => {
      replaceFile(join(root, 'etc'), 'text');
    });
    assert.deepEqual(await listing(root), before);
  });

  it('has a directory by a link of root’s, and by no other link', async () => {
    const root = await machine();
    await mkdir(join(root, 'etc/real'));
    await symlink('real', join(root, 'etc/link'));
    await symlink('f.toml', join(root, 'etc/other'));
    const lines: string[] = [];
    journal(root, false, lines).add('a', { kind: 'directory', path: '/etc/link', mode: 0o755 });
    assert.deepEqual(lines, ['leaves as it is /etc/link']);
    assert.throws(() => {
      journal(root).add('a', { kind: 'directory', path: '/etc/other', mode: 0o755 });
    }, /is no directory, nor root’s link to one; name another one/);
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
