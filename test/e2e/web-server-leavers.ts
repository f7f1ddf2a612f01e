/** People who leave in the middle of a clone or a push, through every web server: nothing of it may remain. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { open, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { git, startGit, tryGit } from '../helpers/git.js';
import { type Leaver, startRelay } from '../helpers/leaving.js';
import { hg, startHg, tryHg } from '../helpers/mercurial.js';
import { processesIn, until, vanished } from '../helpers/processes.js';
import type { SiteHost } from '../helpers/site-host.js';
import { webServers } from '../helpers/webserver-table.js';
import type { Case } from './web-server-cases.js';

/** Less than git sends in chunks, so that HAProxy takes it. */
const PUSHED_BYTES = 900_000;
const SENT_BYTES = 500_000;

const tree = (path: string): string[] => readdirSync(path, { recursive: true }).map(String).sort();

/** Whether the access log says of a request that matches that it was aborted. */
async function hasAborted({ log }: SiteHost, pattern: RegExp): Promise<boolean> {
  return (await log()).split('\n').some((line) => pattern.test(line) && line.split(' ')[13] === 'aborted');
}

/** Has a clone begin, and its reader leave when the first of it was sent; resolves when its processes have ended. */
async function leaveClone(host: SiteHost, start: () => Leaver): Promise<void> {
  const goOn = join(host.hold, 'go-on');
  const begun = join(host.hold, 'begun');
  execFileSync('mkfifo', [goOn]);
  // At both ends: else a write waits for ever when the clone has ended already.
  const held = await open(goOn, 'r+');
  const leaver = start();
  try {
    await until(() => existsSync(begun));
  } finally {
    await leaver.leave();
  }
  if (webServers[host.server].tellsOfReader !== 'at once') await held.write('\n');
  try {
    await vanished(Number(readFileSync(begun, 'utf8')));
  } finally {
    await held.close();
    for (const path of [goOn, begun]) await rm(path);
  }
}

/**
 * Has a push begin, and its sender leave in its middle; resolves when the request has ended, whose line in the access
 * log matches, or never begins. `isHere` is whether its process was seen, where that can be told.
 */
async function leavePush(
  host: SiteHost,
  start: (url: string) => Leaver,
  pattern: RegExp,
  isHere = (): boolean => true,
): Promise<void> {
  const streams = webServers[host.server].passesBodies === 'as they come';
  const relay = await startRelay(host.url, SENT_BYTES, 'ann:secret');
  const leaver = start(relay.url);
  try {
    await Promise.race([relay.held, leaver.ended]);
    if (streams) await until(isHere);
  } finally {
    await leaver.leave();
    await relay.close();
  }
  if (streams) await until(() => hasAborted(host, pattern));
}

export const gitLeavers: readonly Case[] = [
  {
    title: 'end a clone by git whose reader leaves',
    kind: 'leave a clone',
    run: async (host) => {
      const { url, repository, work } = host;
      await leaveClone(host, () => startGit(['clone', '-q', `${url}/public.git`, 'left'], work));
      await until(() => processesIn(repository).length === 0);
      await until(() => hasAborted(host, /git-upload-pack"/));
      await git(['fsck', '--full'], repository);
      await git(['clone', '-q', `${url}/public.git`, join(work, 'after')]);
    },
  },
  {
    title: 'leave nothing of a push by git whose sender leaves',
    kind: 'leave a push',
    run: async (host) => {
      const { url, repository, work } = host;
      const clone = join(work, 'leaving');
      await git(['clone', '-q', repository, clone]);
      await writeFile(join(clone, 'left'), randomBytes(PUSHED_BYTES));
      await git(['add', 'left'], clone);
      await git(['commit', '-q', '-m', 'left'], clone);
      const before = tree(repository);
      await leavePush(
        host,
        (to) => startGit(['push', '-q', `${to}/public.git`, 'HEAD:left'], clone),
        /"POST" "[^"]*\/git-receive-pack"/,
        () => processesIn(repository).length > 0,
      );
      await until(() => processesIn(repository).length === 0);
      assert.deepEqual(tree(repository), before);
      await git(['fsck', '--full', '--strict'], repository);
      assert.equal((await tryGit(['ls-remote', `${url}/public.git`])).status, 0);
    },
  },
];

export const hgLeavers: readonly Case[] = [
  {
    title: 'end a clone by hg whose reader leaves',
    kind: 'leave a clone',
    run: async (host) => {
      const { url, repository, work } = host;
      await leaveClone(host, () => startHg(['clone', '-q', `${url}/public.hg`, 'left'], work));
      await until(() => hasAborted(host, /cmd=getbundle/));
      assert.equal((await tryHg(['verify', '-q'], repository)).status, 0);
      await hg(['clone', '-q', `${url}/public.hg`, join(work, 'after')]);
    },
  },
  {
    title: 'leave nothing of a push by hg whose sender leaves',
    kind: 'leave a push',
    run: async (host) => {
      const { url, repository, work } = host;
      const clone = join(work, 'leaving');
      await hg(['clone', '-q', repository, clone]);
      await writeFile(join(clone, 'left'), randomBytes(PUSHED_BYTES));
      await hg(['commit', '-q', '-A', '-m', 'left'], clone);
      const before = tree(repository);
      await leavePush(host, (to) => startHg(['push', '-q', `${to}/public.hg`], clone), /cmd=unbundle/);
      assert.deepEqual(tree(repository), before);
      assert.equal((await tryHg(['verify', '-q'], repository)).status, 0);
      assert.equal((await tryHg(['id', `${url}/public.hg`])).status, 0);
    },
  },
];
