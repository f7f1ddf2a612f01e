/** What is asked of every web server, by site. Each title goes on after the web server's name, or after "can't". */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { Agent, type IncomingMessage, request } from 'node:http';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';

import { git, tryGit } from '../helpers/git.js';
import { fetchRaw } from '../helpers/http.js';
import { hg, tryHg } from '../helpers/mercurial.js';
import { childrenOf, isRunning, until, vanished } from '../helpers/processes.js';
import { files, largeMiB, type SiteHost } from '../helpers/site-host.js';
import { isFull } from '../helpers/webserver-table.js';

export interface Case {
  readonly title: string;
  /** What it has in common with a case of another site, where their titles differ. */
  readonly kind?: string;
  readonly run: (host: SiteHost) => Promise<void>;
}

/** How much a script of `site-host` reads and writes. */
const LARGE_BYTES = largeMiB * 1_048_576;
/** More than any web server keeps in memory; random, so that nobody can make it smaller. */
const PUSHED_BYTES = isFull ? 10_000_000 : 1_500_000;

const withUser = (url: string, password = 'secret'): string => url.replace('//', `//ann:${password}@`);
const octets = (name: string, isEncoded: RegExp): string =>
  [...Buffer.from(name, 'latin1')]
    .map((octet) => {
      const character = String.fromCharCode(octet);
      return isEncoded.test(character) ? `%${octet.toString(16).padStart(2, '0')}` : character;
    })
    .join('');

async function given(host: SiteHost, path: string, name: string): Promise<void> {
  const { status, body } = await fetchRaw(host.url, path);
  assert.deepEqual([status, body.toString('latin1')], [200, name], path);
}

/** Cases that pages have, below the two paths of a site; `raw` is where files lie as they are. */
function pageCases(page: string, raw: string, tagged: string): Case[] {
  return [
    {
      title: 'show pages',
      run: async ({ url }) => {
        for (const path of ['/', page]) assert.equal((await fetchRaw(url, path)).status, 200, path);
        // Some servers would deny the last two by themselves.
        for (const path of ['/nothing.here', '/nothing~', '/nothing.inc'])
          assert.equal((await fetchRaw(url, path)).status, 404, path);
      },
    },
    {
      title: 'pass on spaces, percent signs and octets that are not UTF-8',
      run: async (host) => {
        for (const name of files) await given(host, `${raw}${octets(name, /[^\w./]/)}`, name);
      },
    },
    {
      title: 'pass on slashes that are encoded',
      run: (host) => given(host, `${raw}sub%2Fdeep.txt`, 'sub/deep.txt'),
    },
    {
      title: 'answer HEAD without a body',
      run: async ({ url }) => {
        const { status, body } = await fetchRaw(url, page, { method: 'HEAD' });
        assert.deepEqual([status, body.length], [200, 0]);
      },
    },
    {
      title: 'pass on If-None-Match and its 304',
      run: async ({ url }) => {
        const { etag } = (await fetchRaw(url, tagged)).headers;
        assert.ok(etag !== undefined);
        const { status, body } = await fetchRaw(url, tagged, { headers: { 'If-None-Match': etag } });
        assert.deepEqual([status, body.length], [304, 0]);
      },
    },
    {
      title: 'answer several requests on one connection',
      run: async ({ url }) => {
        const agent = new Agent({ keepAlive: true, maxSockets: 1 });
        const reused = [];
        for (const path of ['/', page, page]) {
          const sent = request(url + path, { agent }).end();
          const [response] = (await once(sent, 'response')) as [IncomingMessage];
          await buffer(response);
          reused.push(sent.reusedSocket);
        }
        agent.destroy();
        assert.deepEqual(reused, [false, true, true]);
      },
    },
  ];
}

/** So many changesets does a pull ask about whose own repository has as many heads. */
const MANY_HEADS = 1_000;
/** Of each header line that Mercurial puts its arguments into. */
const ARGUMENT_LETTERS = 1_000;

export const hgCases: readonly Case[] = [
  ...pageCases('/public.hg/', '/public.hg/raw-file/tip/', '/public.hg/'),
  {
    title: 'pass on arguments in many long header lines',
    run: async ({ url }) => {
      const nodes = Array.from({ length: MANY_HEADS }, () => randomBytes(20).toString('hex'));
      const pieces = `nodes=${nodes.join('+')}`.match(new RegExp(`.{1,${String(ARGUMENT_LETTERS)}}`, 'g'));
      const headers: Record<string, string> = {};
      pieces?.forEach((piece, index) => (headers[`X-HgArg-${String(index + 1)}`] = piece));
      const { status, body } = await fetchRaw(url, '/public.hg/?cmd=known', { headers });
      assert.deepEqual([status, body.toString()], [200, '0'.repeat(MANY_HEADS)]);
    },
  },
  {
    title: 'clone, and push megabytes with a password but not without one',
    kind: 'clone and push',
    run: async ({ url, repository, work }) => {
      const clone = join(work, 'clone');
      await hg(['clone', '-q', `${url}/public.hg`, clone]);
      for (const name of files) {
        const path = Buffer.from(join(clone, name), 'latin1');
        assert.equal((await readFile(path)).toString('latin1'), name);
      }
      await writeFile(join(clone, 'pushed'), randomBytes(PUSHED_BYTES));
      await hg(['commit', '-q', '-A', '-m', 'large'], clone);
      const refused = await tryHg(['push', '--noninteractive', `${url}/public.hg`], clone);
      assert.match(refused.stderr, /http authorization required/);
      const wrong = await tryHg(['push', '--noninteractive', `${withUser(url, 'wrong')}/public.hg`], clone);
      assert.match(wrong.stderr, /authorization/);
      await hg(['push', '-q', `${withUser(url)}/public.hg`], clone);
      const tip = ['log', '-r', 'tip', '-T', '{node}'];
      assert.equal(await hg(tip, repository), await hg(tip, clone));
      assert.equal((await tryHg(['verify', '-q'], repository)).status, 0);
    },
  },
  {
    title: 'ask nobody who only reads for a password, whatever the method',
    run: async ({ url, work }) => {
      const body = Buffer.from('namespace=bookmarks');
      const headers = { 'X-HgArgs-Post': String(body.length) };
      const answer = await fetchRaw(url, '/small.hg?cmd=listkeys', { method: 'POST', headers, body });
      assert.deepEqual([answer.status, answer.headers['content-type']], [200, 'application/mercurial-0.1']);
      await hg(['clone', '-q', `${url}/small.hg`, join(work, 'posted')]);
    },
  },
  {
    title: 'carry large files up with a password, and down without one',
    run: async ({ url, repository, work }) => {
      const lfs = (name: string): string[] => [
        ...['--config', 'extensions.lfs=', '--config', `lfs.usercache=${join(work, name)}`],
        ...['--config', 'lfs.track=all()', '--noninteractive'],
      ];
      const clone = join(work, 'lfs-up');
      await hg([...lfs('up'), 'clone', '-q', '-r', '0', join(dirname(repository), 'large'), clone]);
      await writeFile(join(clone, 'large'), randomBytes(PUSHED_BYTES));
      await hg([...lfs('up'), 'commit', '-q', '-A', '-m', 'large'], clone);
      const object = `/large.hg/.hg/lfs/objects/${'0'.repeat(64)}`;
      assert.equal((await fetchRaw(url, object, { method: 'PUT' })).status, 401);
      await hg([...lfs('up'), 'push', '-q', '-f', `${withUser(url)}/large.hg`], clone);
      const copy = join(work, 'lfs-down');
      await hg([...lfs('down'), 'clone', '-q', `${url}/large.hg`, copy]);
      assert.deepEqual(await readFile(join(copy, 'large')), await readFile(join(clone, 'large')));
    },
  },
];

export const gitCases: readonly Case[] = [
  ...pageCases('/public.git', '/public.git/blob_plain/HEAD:/', '/static/gitweb.css'),
  {
    title: 'clone, and push with a password but not without one',
    kind: 'clone and push',
    run: async ({ url, repository, work }) => {
      const clone = join(work, 'clone');
      await git(['clone', '-q', `${url}/public.git`, clone]);
      for (const name of files) {
        const path = Buffer.from(join(clone, name), 'latin1');
        assert.equal((await readFile(path)).toString('latin1'), name);
      }
      await git(['commit', '-q', '--allow-empty', '-m', 'small'], clone);
      const refused = await tryGit(['push', `${url}/public.git`, 'main'], clone);
      assert.match(refused.stderr, /could not read Username|terminal prompts disabled/);
      const wrong = await tryGit(['push', `${withUser(url, 'wrong')}/public.git`, 'main'], clone);
      assert.match(wrong.stderr, /Authentication failed/);
      await git(['push', '-q', `${withUser(url)}/public.git`, 'main'], clone);
      assert.equal(await git(['rev-parse', 'main'], repository), await git(['rev-parse', 'HEAD'], clone));
    },
  },
  {
    title: 'take git pushes of more than http.postBuffer, 1 MiB',
    run: async ({ server, url, repository, work }) => {
      const clone = join(work, 'large');
      await git(['clone', '-q', repository, clone]);
      await writeFile(join(clone, 'pushed'), randomBytes(PUSHED_BYTES));
      await git(['add', 'pushed'], clone);
      await git(['commit', '-q', '-m', 'large'], clone);
      await git(['push', '-q', `${withUser(url)}/public.git`, `HEAD:${server}`], clone);
      assert.equal(await git(['rev-parse', server], repository), await git(['rev-parse', 'HEAD'], clone));
      await git(['fsck', '--full'], repository);
      // The clones of the other cases would all carry it.
      await git(['update-ref', '-d', `refs/heads/${server}`], repository);
      await git(['prune', '--expire=now'], repository);
    },
  },
];

export const scriptCases: readonly Case[] = [
  {
    title: 'pass on Range and its 206',
    run: async ({ url }) => {
      const { status, headers, body } = await fetchRaw(url, '/range', { headers: { Range: 'bytes=2-5' } });
      assert.deepEqual([status, headers['content-range'], body.toString()], [206, 'bytes 2-5/10', '2345']);
    },
  },
  {
    title: 'show a page whose script complains before it answers',
    run: (host) => given(host, '/complain', 'all is well'),
  },
  {
    title: 'carry many megabytes up',
    run: async ({ url }) => {
      const body = Buffer.alloc(LARGE_BYTES);
      const answer = await fetchRaw(url, '/count', { method: 'POST', body });
      assert.deepEqual([answer.status, answer.body.toString().trim()], [200, String(LARGE_BYTES)]);
    },
  },
  {
    title: 'carry many megabytes up in chunks, without a length',
    run: async ({ url }) => {
      const sent = request(`${url}/count`, { method: 'POST', agent: false });
      for (let count = 0; count < LARGE_BYTES; count += 65_536) sent.write(Buffer.alloc(65_536));
      sent.end();
      const answered = once(sent, 'response');
      // A web server may refuse it, and close before all has been written.
      sent.on('error', () => undefined);
      const [response] = (await answered) as [IncomingMessage];
      const text = (await buffer(response)).toString().trim();
      assert.deepEqual([response.statusCode, text], [200, String(LARGE_BYTES)]);
    },
  },
  {
    title: 'carry many megabytes down',
    run: async ({ url }) => {
      const { status, body } = await fetchRaw(url, '/large');
      assert.deepEqual([status, body.length], [200, LARGE_BYTES]);
    },
  },
  {
    title: 'begin to answer before the script has ended, and end it when nobody waits any more',
    run: async ({ url }) => {
      const sent = request(`${url}/for-ever`, { agent: false }).end();
      const [response] = (await once(sent, 'response', { signal: AbortSignal.timeout(15_000) })) as [
        IncomingMessage,
      ];
      const [first] = (await once(response, 'data')) as [Buffer];
      const pid = Number(/^\d+/.exec(first.toString())?.[0]);
      assert.ok(isRunning(pid));
      response.on('error', () => undefined);
      sent.destroy();
      await vanished(pid);
    },
  },
  {
    title: 'let nothing of an upload remain that its sender breaks off',
    run: async ({ url, bridge }) => {
      const sent = request(`${url}/count`, {
        method: 'POST',
        headers: { 'Content-Length': '1000000' },
        agent: false,
      });
      sent.on('error', () => undefined);
      await new Promise((resolve) => sent.write(Buffer.alloc(500_000), resolve));
      sent.destroy();
      await fetchRaw(url, '/other');
      await until(() => childrenOf(bridge.process.pid ?? 0).length === 0);
    },
  },
];
