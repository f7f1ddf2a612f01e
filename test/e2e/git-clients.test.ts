/**
 * Git's own command line against published repositories, through real lighttpd, nginx and Apache. What a web server has a
 * part in runs with each of them; the rest with one of them, unless all are wanted.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { git, makeBareRepository, makeWorkTree, tryGit } from '../helpers/git.js';
import { type GitHost, startGitHost } from '../helpers/git-site.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { isFull, type WebServerName } from '../helpers/webserver-table.js';

const COMMITS = 300;
const LARGE_BYTES = isFull ? 100_000_000 : 15_000_000;
/** Random octets can't be made smaller; to try would be most of a test's time. */
const large = ['-c', 'core.compression=0', '-c', 'core.bigFileThreshold=1m'];

/** A repository with that many commits, made by one process. */
async function makeLongRepository(path: string, commits: number): Promise<void> {
  const work = await makeBareRepository(path, { 'a.txt': 'a\n' });
  const commands = Array.from({ length: commits }, (_, index) => {
    const content = `content ${String(index)}\n`.repeat(20);
    const data = `data ${String(content.length)}\n${content}`;
    const who = `committer Ann <ann@example.org> ${String(1_600_000_000 + index)} +0000`;
    return `commit refs/heads/long\n${who}\ndata 2\nc\n\nM 644 inline file${String(index % 30)}\n${data}\n`;
  });
  await writeFile(join(work, 'stream'), commands.join(''));
  await git(['-c', 'alias.import=!git fast-import --quiet < stream', 'import'], work);
  await git(['push', '-q', path, 'long'], work);
}

const refs = async (directory: string): Promise<string> =>
  git(['for-each-ref', '--format=%(objectname) %(refname)'], directory);

async function clean(directory: string): Promise<void> {
  const { status, stdout, stderr } = await tryGit(['fsck', '--full', '--strict'], directory);
  assert.deepEqual([status, stdout, stderr.replaceAll(/^Checking.*$|^notice:.*$/gm, '').trim()], [0, '', '']);
}

/** What repositories are copied from. */
let made: string;
/** A working tree with a file that is sent everywhere. */
let sending: string;
before(async () => {
  made = await temporaryDirectory();
  await makeLongRepository(join(made, 'long.git'), COMMITS);
  await git(['config', 'uploadpack.allowFilter', 'true'], join(made, 'long.git'));
  await makeBareRepository(join(made, 'pushed.git'), { 'a.txt': 'a\n' });
  await cp(join(made, 'pushed.git'), join(made, 'group/b c+%é.git'), { recursive: true });
  await makeWorkTree(join(made, 'tree'), { 'a.txt': 'a\n' });
  await writeFile(join(made, 'tree/.git/git-daemon-export-ok'), '');
  await makeBareRepository(join(made, 'hidden.git'), { secret: 'x' }, { exported: false });
  sending = await makeLarge();
});

async function makeLarge(): Promise<string> {
  const path = join(await temporaryDirectory(), 'sending');
  await makeWorkTree(path, { small: 'x' });
  await writeFile(join(path, 'large'), randomBytes(LARGE_BYTES));
  await git([...large, 'add', 'large'], path);
  await git(['commit', '-q', '-m', 'large'], path);
  return path;
}

for (const server of ['lighttpd', 'nginx', 'apache'] satisfies WebServerName[]) {
  describe(`git’s clients behind ${server}`, { timeout: 300_000 }, () => {
    let host: GitHost;
    let work: string;
    before(async () => {
      const directory = await temporaryDirectory();
      work = join(directory, 'work');
      await mkdir(work);
      host = await startGitHost(server, directory);
      await cp(made, host.repos, { recursive: true });
    });
    after(() => host.stop());

    const runsWith = (one: WebServerName): { readonly skip: string | false } => ({
      skip: !isFull && server !== one && 'only npm run test:full runs this behind each web server',
    });

    it('clone a repository, complete and with the same branches', runsWith('lighttpd'), async () => {
      await git(['clone', '-q', '--mirror', `${host.url}/long.git`, 'mirror'], work);
      await clean(join(work, 'mirror'));
      assert.equal(await refs(join(work, 'mirror')), await refs(join(host.repos, 'long.git')));
      assert.equal(
        (await git(['rev-list', '--count', 'long'], join(work, 'mirror'))).trim(),
        String(COMMITS),
      );
    });

    it('speak version 2 of the protocol, and the versions before', async () => {
      for (const version of ['2', '1', '0']) {
        const { stdout, stderr } = await tryGit(
          ['-c', `protocol.version=${version}`, 'ls-remote', `${host.url}/long.git`],
          work,
          { GIT_TRACE_PACKET: '1' },
        );
        assert.match(stdout, /\trefs\/heads\/long\n/);
        assert.equal(/< version (\d)/.exec(stderr)?.[1] ?? '0', version);
      }
    });

    it('clone what is only shallow, and deepen it', runsWith('apache'), async () => {
      await git(['clone', '-q', '--depth', '5', '-b', 'long', `${host.url}/long.git`, 'shallow'], work);
      const count = async (): Promise<number> =>
        Number(await git(['rev-list', '--count', 'HEAD'], join(work, 'shallow')));
      assert.equal(await count(), 5);
      await git(['fetch', '-q', '--unshallow'], join(work, 'shallow'));
      assert.equal(await count(), COMMITS);
      await clean(join(work, 'shallow'));
    });

    it('clone a part, and get the rest of it when they need it', runsWith('nginx'), async () => {
      const url = `${host.url}/long.git`;
      await git(['clone', '-q', '--filter=blob:none', '--no-checkout', '-b', 'long', url, 'partial'], work);
      const partial = join(work, 'partial');
      const missing = await git(['rev-list', '--objects', '--missing=print', 'HEAD'], partial);
      assert.ok([...missing.matchAll(/^\?/gm)].length > 30, 'the blobs came with the clone');
      assert.match(await git(['show', 'HEAD:file1'], partial), /^content \d+\n/);
    });

    it('fetch what is new, with a request that git compresses', runsWith('nginx'), async () => {
      await git(['clone', '-q', '-b', 'long', `${host.url}/long.git`, 'fetching'], work);
      const clone = join(work, 'fetching');
      const other = join(work, 'other');
      await git(['clone', '-q', '-b', 'long', join(host.repos, 'long.git'), other], work);
      // What is wanted is named in the request, which is compressed from 1 KB on.
      for (let index = 0; index < 30; index++) {
        await git(['commit', '-q', '--allow-empty', '-m', `new ${String(index)}`], other);
      }
      const branches = Array.from(
        { length: 30 },
        (_, index) => `HEAD~${String(index)}:refs/heads/new-${String(index)}`,
      );
      await git(['push', '-q', 'origin', ...branches], other);
      const { status, stderr } = await tryGit(['fetch', 'origin'], clone, { GIT_CURL_VERBOSE: '1' });
      assert.equal(status, 0, stderr);
      assert.ok(stderr.includes('Content-Encoding: gzip'), 'git did not compress its request');
      assert.equal(await git(['rev-parse', 'origin/new-0'], clone), await git(['rev-parse', 'HEAD'], other));
    });

    it('clone by the dumb protocol, which git’s oldest speak', runsWith('apache'), async () => {
      await git(['repack', '-q', '-a', '-d'], join(host.repos, 'long.git'));
      await git(['update-server-info'], join(host.repos, 'long.git'));
      await git(['clone', '-q', `${host.url}/long.git`, 'dumb'], work, { GIT_SMART_HTTP: '0' });
      await clean(join(work, 'dumb'));
      // Loose objects have addresses of their own.
      await git(['clone', '-q', `${host.url}/tree`, 'dumb-tree'], work, { GIT_SMART_HTTP: '0' });
      assert.equal(await readFile(join(work, 'dumb-tree/a.txt'), 'utf8'), 'a\n');
    });

    it('clone repositories of any name, and those with a working tree', async () => {
      for (const [index, name] of ['group/b%20c+%25%C3%A9.git', 'tree', 'pushed'].entries()) {
        const target = join(work, `named-${String(index)}`);
        await git(['clone', '-q', `${host.url}/${name}`, target], work);
        assert.equal(await readFile(join(target, 'a.txt'), 'utf8'), 'a\n', name);
      }
    });

    it('don’t find what is not published, or not there', async () => {
      for (const name of ['hidden.git', 'none.git', 'group', 'tree/.git', '../hidden.git']) {
        const { status, stderr } = await tryGit(['clone', `${host.url}/${name}`, 'none'], work);
        assert.equal(status, 128, name);
        assert.match(stderr, /not found/, name);
      }
    });

    it('push when the web server knows them, and are asked for a password otherwise', async () => {
      const clone = join(work, 'pushing');
      const target = join(host.repos, 'pushed.git');
      await git(['clone', '-q', `${host.url}/pushed.git`, clone], work);
      await git(['commit', '-q', '--allow-empty', '-m', 'mine'], clone);
      const push = (url: string): ReturnType<typeof tryGit> =>
        tryGit(['push', `${url}/pushed.git`, 'main'], clone);
      const before = await refs(target);
      const anonymous = await push(host.url);
      assert.match(anonymous.stderr, /could not read Username|terminal prompts disabled/);
      const wrong = await push(host.url.replace('//', '//ann:wrong@'));
      assert.match(wrong.stderr, /Authentication failed/);
      assert.equal(await refs(target), before);
      const ours = await push(host.urlOf('ann'));
      assert.equal(ours.status, 0, ours.stderr);
      assert.equal(await git(['rev-parse', 'main'], target), await git(['rev-parse', 'HEAD'], clone));
    });

    it('may not push where the repository says so', runsWith('lighttpd'), async () => {
      const clone = join(work, 'refused');
      await makeBareRepository(join(host.repos, 'closed.git'), { a: 'a\n' });
      await git(['config', 'http.receivepack', 'false'], join(host.repos, 'closed.git'));
      await git(['clone', '-q', `${host.url}/closed.git`, clone], work);
      await git(['commit', '-q', '--allow-empty', '-m', 'mine'], clone);
      const { status, stderr } = await tryGit(['push', `${host.urlOf('ann')}/closed.git`, 'main'], clone);
      assert.equal(status, 128);
      assert.match(stderr, /403/);
    });

    // Of other sizes, test/e2e/web-servers.test.ts has every web server carry it.
    it(`push and clone a file of ${String(LARGE_BYTES / 1e6)} MB`, runsWith('lighttpd'), async () => {
      const target = join(host.repos, 'pushed.git');
      await git(['config', 'core.bigFileThreshold', '1m'], target);
      await git(
        [...large, 'push', '-q', `${host.urlOf('ann')}/pushed.git`, 'HEAD:refs/heads/large'],
        sending,
      );
      await clean(target);
      const clone = ['clone', '-q', '--bare', '-b', 'large', '--single-branch'];
      await git([...large, ...clone, `${host.url}/pushed.git`, 'received.git'], work);
      // Git has computed the names of the objects anew.
      const sentBlob = await git(['rev-parse', 'HEAD:large'], sending);
      assert.equal(await git(['rev-parse', 'large:large'], target), sentBlob);
      assert.equal(await git(['rev-parse', 'large:large'], join(work, 'received.git')), sentBlob);
      assert.doesNotMatch(host.bridge.log(), / (warn|error) /);
    });
  });
}
