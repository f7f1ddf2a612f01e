/**
 * Mercurial's own command line against published repositories, through real lighttpd, nginx and Apache. What a web server
 * has a part in, test/e2e/web-servers.test.ts asks of each; so each of these runs with one of them, unless all are wanted.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { type HgHost, startHgHost, touch } from '../helpers/hg-site.js';
import { hg, makeLongRepository, makeRepository, tryHg } from '../helpers/mercurial.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { isFull, type WebServerName } from '../helpers/webserver-table.js';

const PUSHABLE = '[web]\nallow-push = ann\npush_ssl = no\n';
const CHANGESETS = isFull ? 5_000 : 1_000;
/** What is pushed. */
const [FILES, FILE_BYTES] = [5, isFull ? 10_000_000 : 2_000_000];

/** The heads of a repository, as its own hg tells them. */
async function heads(repository: string): Promise<string[]> {
  return (await hg(['heads', '-t', '-T', '{node}\n'], repository)).split('\n').sort();
}

let long: string;
before(async () => {
  long = join(await temporaryDirectory(), 'long');
  await makeLongRepository(long, CHANGESETS);
});

for (const server of ['lighttpd', 'nginx', 'apache'] satisfies WebServerName[]) {
  describe(`hg’s clients behind ${server}`, () => {
    let host: HgHost;
    let work: string;
    const url = (name: string, user = ''): string =>
      `${user === '' ? host.url : host.url.replace('//', `//${user}:secret@`)}/${name}`;

    before(async () => {
      const directory = await temporaryDirectory();
      work = join(directory, 'work');
      await mkdir(work);
      // Else by both runners: a new process for each request is most of a test's time.
      const options = ['--runner', isFull || server === 'apache' ? 'spawn' : 'warm'];
      host = await startHgHost(server, directory, { options });
      await cp(long, join(host.repos, 'long'), { recursive: true });
      const names = { a: 'a\n', 'caf\xe9.txt': 'Latin-1 in the name\n' };
      await makeRepository(join(host.repos, 'pushed'), names, PUSHABLE);
      await makeRepository(join(host.repos, 'closed'), { a: 'a\n' }, '[web]\npush_ssl = no\n');
      for (const name of ['long', 'pushed', 'closed']) await touch(join(host.markers, `${name}.hg`));
    });
    after(() => host.stop());

    const runsWith = (one: WebServerName): { readonly skip: string | false } => ({
      skip: !isFull && server !== one && 'only npm run test:full runs this behind each web server',
    });

    it(
      `clones ${String(CHANGESETS)} changesets, complete and with the same heads`,
      runsWith('lighttpd'),
      async () => {
        await hg(['clone', '-q', url('long.hg'), 'long'], work);
        assert.equal((await tryHg(['verify', '-q'], join(work, 'long'))).status, 0);
        assert.equal(
          (await hg(['log', '-r', 'tip', '-T', '{rev}'], join(work, 'long'))).trim(),
          String(CHANGESETS - 1),
        );
        const original = await heads(join(host.repos, 'long'));
        assert.ok(original.length > CHANGESETS / 50);
        assert.deepEqual(await heads(join(work, 'long')), original);
        const rebuilt = await hg(['log', '-T', '{node}\n'], join(work, 'long'));
        assert.equal(rebuilt, await hg(['log', '-T', '{node}\n'], join(host.repos, 'long')));
      },
    );

    it('clones without the suffix, where the web server asks about everything', async () => {
      const target = join(work, 'short');
      const { status } = await tryHg(['clone', '-q', url('pushed'), target], work);
      // Lighttpd's configuration passes on what ends in the suffix, and nothing else.
      assert.equal(status, server === 'lighttpd' ? 255 : 0);
    });

    it(
      'pulls from it with many heads of its own, which travel in long headers',
      runsWith('lighttpd'),
      async () => {
        const clone = join(work, 'long');
        for (let head = 0; head < 8; head++) {
          await hg(['update', '-q', '-r', String(head * 100)], clone);
          await writeFile(join(clone, 'mine'), String(head));
          await hg(['commit', '-q', '-A', '-m', `mine ${String(head)}`], clone);
        }
        assert.match(await hg(['pull', url('long.hg')], clone), /no changes found/);
        assert.equal((await tryHg(['incoming', url('long.hg')], clone)).status, 1);
      },
    );

    it('shows and pulls what is new, and makes a bundle of it', runsWith('nginx'), async () => {
      const clone = join(work, 'pulled');
      await hg(['clone', '-q', '-r', '100', url('long.hg'), clone]);
      const incoming = await hg(['incoming', '-q', '-T', '{node}\n', url('long.hg')], clone);
      const had = (await hg(['log', '-T', '.'], clone)).length;
      assert.equal(incoming.trim().split('\n').length, CHANGESETS - had);
      await hg(['incoming', '-q', '--bundle', join(work, 'incoming.hg'), url('long.hg')], clone);
      const tip = await hg(['log', '-r', 'tip', '-T', '{node}'], clone);
      await hg(['pull', '-q', url('long.hg')], clone);
      assert.deepEqual(await heads(clone), await heads(join(host.repos, 'long')));
      await hg(['clone', '-q', '-r', tip, clone, join(work, 'unbundled')]);
      await hg(['unbundle', '-q', join(work, 'incoming.hg')], join(work, 'unbundled'));
      assert.deepEqual(await heads(join(work, 'unbundled')), await heads(clone));
    });

    it(
      `takes the push of a user whom the repository allows, ${String((FILES * FILE_BYTES) / 1e6)} MB of it, whole`,
      runsWith('apache'),
      async () => {
        const clone = join(work, 'pushing');
        await hg(['clone', '-q', url('pushed.hg'), clone]);
        assert.equal(
          (await readFile(Buffer.from(join(clone, 'caf\xe9.txt'), 'latin1'))).toString(),
          'Latin-1 in the name\n',
        );
        const contents = Array.from({ length: FILES }, () => randomBytes(FILE_BYTES));
        for (const [index, content] of contents.entries())
          await writeFile(join(clone, `new${String(index)}`), content);
        await hg(['commit', '-q', '-A', '-m', 'many octets'], clone);
        await hg(['push', '-q', url('pushed.hg', 'ann')], clone);
        const target = join(host.repos, 'pushed');
        assert.equal((await tryHg(['verify', '-q'], target)).status, 0);
        assert.deepEqual(await heads(target), await heads(clone));
        await hg(['update', '-q', 'tip'], target);
        for (const [index, content] of contents.entries()) {
          assert.ok(
            content.equals(await readFile(join(target, `new${String(index)}`))),
            `new${String(index)}`,
          );
        }
      },
    );

    it(
      'refuses the push of anybody else, and the pushed changesets stay out',
      runsWith('apache'),
      async () => {
        const clone = join(work, 'refused');
        await hg(['clone', '-q', url('closed.hg'), clone]);
        const before = await heads(join(host.repos, 'closed'));
        await writeFile(join(clone, 'big'), randomBytes(3_000_000));
        await hg(['commit', '-q', '-A', '-m', 'not wanted'], clone);
        for (const [target, why] of [
          [url('closed.hg', 'ann'), /authorization failed|HTTP Error 40[13]|push not authorized/],
          [url('closed.hg'), /http authorization required|authorization failed/],
        ] as const) {
          const push = await tryHg(['push', '--noninteractive', target], clone);
          assert.equal(push.status, 255);
          assert.match(push.stderr + push.stdout, why);
        }
        assert.deepEqual(await heads(join(host.repos, 'closed')), before);
      },
    );
  });
}
