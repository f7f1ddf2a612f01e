/** Pushes that an nginx passes on as they come, and that don't come at once. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir, realpath, writeFile } from 'node:fs/promises';
import { type ClientRequest, type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, describe, it } from 'node:test';

import { git, makeBareRepository, makeWorkTree } from '../helpers/git.js';
import { type GitHost, startGitHost } from '../helpers/git-site.js';
import { processesIn, until } from '../helpers/processes.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { isFull } from '../helpers/webserver-table.js';

const BYTES = isFull ? 200_000_000 : 40_000_000;
const PAUSED_BYTES = 5_000_000;
const PAUSE_MS = isFull ? 3_000 : 1_000;
/** Random octets can't be made smaller; to try would be most of the test's time. */
const large = ['-c', 'core.compression=0', '-c', 'core.bigFileThreshold=1m'];

describe(
  'A push that nginx passes on as it comes (fastcgi_request_buffering off)',
  { timeout: 300_000 },
  () => {
    let host: GitHost;
    let target: string;
    before(async () => {
      host = await startGitHost('unbuffered nginx', await realpath(await temporaryDirectory()));
      target = join(host.repos, 'target.git');
      await makeBareRepository(target, { small: 'x' });
      // This nginx asks nobody for a password.
      await git(['config', 'http.receivepack', 'true'], target);
      await git(['config', 'core.bigFileThreshold', '1m'], target);
    });
    after(() => host.stop());

    it(`may have ${String(BYTES / 1e6)} MB`, async () => {
      const path = await work(BYTES);
      await git([...large, 'push', '-q', `${host.url}/target.git`, 'HEAD:refs/heads/large'], path);
      assert.equal(await git(['rev-parse', 'large:big'], target), await git(['rev-parse', 'HEAD:big'], path));
      await git(['fsck', '--full'], target);
      assert.doesNotMatch(host.bridge.log(), / (warn|error) /);
    });

    for (const chunked of [false, true]) {
      it(`may pause in its middle, with a body of ${chunked ? 'unknown' : 'known'} length`, async () => {
        const path = await work(PAUSED_BYTES);
        const head = (await git(['rev-parse', 'HEAD'], path)).trim();
        const branch = `refs/heads/paused-${String(chunked)}`;
        const body = await receivePackBody(path, head, branch);
        const sent = push(host, chunked ? {} : { 'Content-Length': body.length });
        const answered = once(sent, 'response') as Promise<[IncomingMessage]>;
        sent.write(body.subarray(0, body.length / 2));
        // Git has read the commands and waits for the rest of the pack.
        await until(() => processesIn(target).length > 0);
        await delay(PAUSE_MS);
        sent.end(body.subarray(body.length / 2));
        const [response] = await answered;
        assert.equal(response.statusCode, 200);
        assert.match(await text(response), /unpack ok\n.*ok refs\/heads\/paused/s);
        assert.equal((await git(['rev-parse', branch], target)).trim(), head);
        await git(['fsck', '--full'], target);
      });
    }
  },
);

describe('A push that ends in its middle', { timeout: 300_000 }, () => {
  for (const [why, end] of [
    ['since its sender leaves', (sent) => sent.destroy()],
    ['since the daemon is told to end', (_, host) => host.bridge.stop()],
  ] satisfies [string, (sent: ClientRequest, host: GitHost) => unknown][]) {
    // Up to that number of objects, git takes them out of their pack.
    for (const unpackLimit of [1, 100]) {
      it(`${why}, leaves no process and no file (receive.unpackLimit=${String(unpackLimit)})`, async (t) => {
        const host = await startGitHost('unbuffered nginx', await realpath(await temporaryDirectory()), {
          options: ['--stop-grace', '100ms'],
        });
        t.after(() => host.stop());
        const target = join(host.repos, 'target.git');
        await makeBareRepository(target, { small: 'x' });
        await git(['config', 'http.receivepack', 'true'], target);
        await git(['config', 'receive.unpackLimit', String(unpackLimit)], target);
        const before = await tree(target);
        const path = await work(PAUSED_BYTES);
        const body = await receivePackBody(
          path,
          (await git(['rev-parse', 'HEAD'], path)).trim(),
          'refs/heads/x',
        );
        const sent = push(host, { 'Content-Length': body.length });
        sent.on('error', () => undefined);
        sent.write(body.subarray(0, body.length / 2));
        // What was received so far lies in a quarantine of its own.
        await until(async () => (await tree(target)).some((name) => name.includes('-incoming-')));
        assert.ok(processesIn(target).length > 1, 'git receives the pack');
        await end(sent, host);
        await until(() => processesIn(target).length === 0);
        assert.deepEqual(await tree(target), before);
        await git(['fsck', '--full', '--strict'], target);
      });
    }
  }
});

const tree = async (path: string): Promise<string[]> => (await readdir(path, { recursive: true })).sort();

/** A working tree with one file of so many random octets; gives its path. */
async function work(bytes: number): Promise<string> {
  const path = join(await temporaryDirectory(), 'work');
  await makeWorkTree(path, { small: 'y' });
  await writeFile(join(path, 'big'), randomBytes(bytes));
  await git([...large, 'add', 'big'], path);
  await git(['commit', '-q', '-m', 'large'], path);
  return path;
}

/** A push to `target.git` whose body is still to be sent. */
function push(host: GitHost, headers: OutgoingHttpHeaders): ClientRequest {
  return request(`${host.url}/target.git/git-receive-pack`, {
    method: 'POST',
    agent: false,
    headers: { 'Content-Type': 'application/x-git-receive-pack-request', ...headers },
  });
}

/** What `git push` sends for a new branch (gitprotocol-pack(5)): the command, and a pack with all that it has. */
async function receivePackBody(path: string, head: string, branch: string): Promise<Buffer> {
  const command = `${'0'.repeat(40)} ${head} ${branch}\0report-status`;
  const length = (command.length + 4).toString(16).padStart(4, '0');
  const packing = execFile('git', [...large, 'pack-objects', '--revs', '--stdout', '-q'], {
    cwd: path,
    encoding: 'buffer',
    maxBuffer: 2 * PAUSED_BYTES,
  });
  packing.stdin?.end(`${head}\n`);
  const pieces: Buffer[] = [];
  for await (const piece of packing.stdout ?? []) pieces.push(piece as Buffer);
  return Buffer.concat([Buffer.from(`${length}${command}0000`), ...pieces]);
}
