/** What is asked of every web server for the sake of those whom it must not take for somebody. */

import assert from 'node:assert/strict';

import { fetchRaw } from '../helpers/http.js';
import { hg } from '../helpers/mercurial.js';
import type { Case } from './web-server-cases.js';

/** Of somebody who has no password, and of one who has made one up. */
export const strangers: readonly Record<string, string>[] = [
  {},
  { Authorization: `Basic ${Buffer.from('ann:wrong').toString('base64')}` },
  { Authorization: `Basic ${Buffer.from('ann:').toString('base64')}` },
  { Authorization: 'Basic ann' },
];

export const hgStrangers: readonly Case[] = [
  {
    title: 'take nobody for somebody whose password is wrong or missing',
    run: async ({ url, repository }) => {
      const node = await hg(['log', '-r', 'tip', '-T', '{node}'], repository);
      const key = `namespace=bookmarks&key=x&old=&new=${node}`;
      const batch = encodeURIComponent(`pushkey namespace=bookmarks,key=x,old=,new=${node}`);
      const pushes = [
        `cmd=pushkey&${key}`,
        `cmd=%70ushkey&${key}`,
        `cmd=batch&cmds=${batch}`,
        'cmd=unbundle',
      ];
      const asStranger = async (headers: Record<string, string>): Promise<void> => {
        for (const path of ['/private.hg/', '/private.hg/?cmd=heads']) {
          assert.equal((await fetchRaw(url, path, { headers })).status, 401, path);
        }
        assert.doesNotMatch((await fetchRaw(url, '/', { headers })).body.toString(), /private/);
        for (const path of pushes.map((query) => `/public.hg?${query}`)) {
          const { status } = await fetchRaw(url, path, { method: 'POST', headers });
          assert.ok(status >= 400 && status < 500, `${path}: ${String(status)}`);
        }
      };
      await Promise.all(strangers.map(asStranger));
      assert.equal(await hg(['bookmarks', '-T', '{bookmark}\n'], repository), '');
    },
  },
];

/** Ways to write that a push begins, or is one. */
const gitPushes: readonly (readonly [method: string, path: string])[] = [
  ...['git-receive-pack', 'git%2Dreceive-pack', '%67it-receive-pack', '/git-receive-pack'].map(
    (last) => ['POST', `/public.git/${last}`] as const,
  ),
  ...['./git-receive-pack', 'x/../git-receive-pack', 'git-receive-pack?x', 'git-receive-pack#x'].map(
    (last) => ['POST', `/public.git/${last}`] as const,
  ),
  ...['git-receive-pack', 'git%2Dreceive-pack', 'git-upload-pack&service=git-receive-pack'].map(
    (service) => ['GET', `/public.git/info/refs?service=${service}`] as const,
  ),
  ['GET', '/public.git/info%2Frefs?service=git-receive-pack'],
];

export const gitStrangers: readonly Case[] = [
  {
    title: 'take nobody for somebody whose password is wrong or missing, however a push is written',
    run: async ({ url }) => {
      const asStranger = async (headers: Record<string, string>): Promise<void> => {
        assert.match((await fetchRaw(url, '/', { headers })).body.toString(), /for &lt;&gt;/);
        for (const [method, path] of gitPushes) {
          const type = { 'Content-Type': 'application/x-git-receive-pack-request' };
          const { status, body } = await fetchRaw(url, path, {
            ...{ method, headers: { ...headers, ...type } },
            ...(method === 'POST' ? { body: Buffer.from('0000') } : {}),
          });
          const seen = `${path} ${JSON.stringify(headers)}: ${String(status)} ${body.toString('latin1')}`;
          assert.ok(status >= 400 && status < 500, seen);
        }
      };
      await Promise.all(strangers.map(asStranger));
    },
  },
];
