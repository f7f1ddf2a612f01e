/** What is asked of every web server for the sake of those whom it must not take for somebody. */

import assert from 'node:assert/strict';
import { existsSync, rmSync } from 'node:fs';
import { rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { fetchRaw } from '../helpers/http.js';
import { git } from '../helpers/git.js';
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
  {
    title: 'send no file that lies among the markers, nor one of a repository there',
    run: async ({ url, repository, markers }) => {
      const names = ['note.txt', '.htaccess', 'public.hg~', 'some.hg.bak', 'here', 'deep'];
      for (const name of names.slice(0, 4)) await writeFile(join(markers, name), 'secret');
      await symlink(repository, join(markers, 'here'));
      await symlink(dirname(repository), join(markers, 'deep'));
      const seen = await Promise.all(
        [...names.slice(0, 4), 'here/.hg/hgrc', 'deep/private/.hg/requires', 'deep/private/large'].map(
          async (path) => {
            const { status, body } = await fetchRaw(url, `/${path}`);
            return [
              path,
              status === 403 || status === 404,
              /secret|allow|revlog/.test(body.toString('latin1')),
            ];
          },
        ),
      );
      for (const name of names) await rm(join(markers, name));
      assert.deepEqual(
        seen.filter(([, isRefused, tells]) => isRefused !== true || tells === true),
        [],
      );
    },
  },
  {
    title: 'let nobody push without a password to a repository that takes pushes from everybody',
    run: async ({ url, repository }) => {
      const open = join(dirname(repository), 'open');
      const node = await hg(['log', '-r', 'tip', '-T', '{node}'], open);
      for (const command of ['unbundle', 'pushkey', 'putlfile']) {
        const { status } = await fetchRaw(url, `/open.hg?cmd=${command}`, { method: 'POST' });
        assert.equal(status, 401, command);
      }
      const put = await fetchRaw(url, `/open.hg/.hg/lfs/objects/${'0'.repeat(64)}`, { method: 'PUT' });
      assert.equal(put.status, 401);
      const taken: string[] = [];
      const bookmarks = join(open, '.hg/bookmarks');
      for (const [path, headers, body = ''] of hidden(`pushkey&namespace=bookmarks&key=x&old=&new=${node}`)) {
        const asked = { method: 'POST', headers, body: Buffer.from(body) };
        const { status } = await fetchRaw(url, path, asked);
        if (!existsSync(bookmarks)) continue;
        taken.push(`${path} ${JSON.stringify(headers)} ${body}: ${String(status)}`);
        rmSync(bookmarks);
      }
      assert.deepEqual(taken, []);
      assert.equal(await hg(['bookmarks', '-T', '{bookmark}\n'], open), '');
    },
  },
];

/** A push in ways that a web server may not see: each sends `push`, and `heads` where something else is to be seen. */
const hidden = (
  push: string,
): readonly (readonly [path: string, headers: Record<string, string>, body?: string])[] => {
  const [command = '', args = ''] = push.split(/&(.*)/s);
  const quoted = `heads ;${command} ${args.replaceAll('&', ',')}`;
  return [
    ...[
      ...[`cmd=heads&cmd=${push}`, `cmd=${push}&cmd=heads`, `CMD=heads&cmd=${push}`, `cmd&cmd=${push}`],
      ...[
        `%63md=${push}`,
        `cm%64=${push}`,
        `cmd%3D${push}`,
        `+cmd=${push}`,
        `cmd=+${push}`,
        `cmd=${push}&CMD=heads`,
      ],
      ...[
        `cmd=%70${push.slice(1)}`,
        `cmd=${command}%00&${args}`,
        `cmd=${command}+&${args}`,
        `cmd=${command};x&${args}`,
      ],
      ...[
        `cmd=heads;cmd=${push}`,
        `x;cmd=${push}`,
        `cmd=heads#&cmd=${push}`,
        `#&cmd=${push}`,
        `?cmd=${push}`,
      ],
      ...[`&&cmd=${push}`, `x=%26cmd=${push}`, `cmd=heads%26cmd=${push}`, `cmd[]=${push}`, `cmd=${push}%26x`],
      ...[
        `cmd=batch&cmds=${encodeURIComponent(quoted)}`,
        `${args}&cmd=${command}`,
        `cmd==${push}`,
        `cmd=/${push}`,
      ],
    ].map((query) => [`/open.hg?${query}`, {}] as const),
    ['/open.hg?cmd=batch', { 'X-HgArg-1': `cmds=${encodeURIComponent(quoted)}` }],
    ['/open.hg?cmd=batch', { 'X-HgArgs-Post': String(push.length + 4) }, `cmd=${push}`],
    [
      '/open.hg?cmd=batch',
      { 'X-HgArgs-Post': String(encodeURIComponent(quoted).length + 5) },
      `cmds=${encodeURIComponent(quoted)}`,
    ],
    ['/open.hg', { 'X-HgArg-1': `cmd=${push}` }],
    ['/open.hg', { 'Content-Type': 'application/x-www-form-urlencoded' }, `cmd=${push}`],
    [`/open.hg%3Fcmd=${push}`, {}],
    [`/open.hg/?%63md=${push}`, {}],
    [`//open.hg//?cmd=${push}`, {}],
    [`/x/../open.hg?cmd=${push}`, {}],
    [`/open%2Ehg/%2e?cmd=${push}`, {}],
  ];
};

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

/** More of them, which a web server may not see. */
const hiddenGitPushes: readonly (readonly [method: string, path: string])[] = [
  ...[
    ...[
      'service=git-upload-pack&service=git-receive-pack',
      'service=git-receive-pack&service=git-upload-pack',
    ],
    ...[
      'SERVICE=git-upload-pack&service=git-receive-pack',
      'servic%65=git-receive-pack',
      'service&service=git-receive-pack',
    ],
    ...[
      'service=git-receive%2dpack',
      'service=%67it-receive-pack',
      'service=git-receive-pack%00',
      'service=git-receive-pack;x',
    ],
    ...[
      'x;service=git-receive-pack',
      'x#&service=git-receive-pack',
      '#&service=git-receive-pack',
      '+service=git-receive-pack',
    ],
  ].map((query) => ['GET', `/public.git/info/refs?${query}`] as const),
  ...[
    'git-receive-pack%00',
    'git-receive-pack/',
    'git-receive-pack%2f',
    'git-receive-pack;x',
    'git-receive-pack%3fx',
  ],
  ...[
    'git-receive-pack%0a',
    'git-receive-pack//',
    'git-receive-pack/.',
    'git-receive-pack/x/..',
    'git-receive-pack%23',
  ],
  ...[
    '%2Fgit-receive-pack',
    '//git-receive-pack',
    '.%2fgit-receive-pack',
    'git-receive-pack%20',
    'GIT-receive-pack',
  ],
].map((each) => (typeof each === 'string' ? (['POST', `/public.git/${each}`] as const) : each));

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
  {
    title: 'let nobody push without a password to a repository that takes pushes from everybody',
    run: async ({ url, repository }) => {
      const open = join(dirname(repository), 'open.git');
      const victim = (await git(['rev-parse', 'refs/heads/victim'], open)).trim();
      const command = `${victim} ${'0'.repeat(victim.length)} refs/heads/victim\0report-status`;
      const body = Buffer.from(`${(command.length + 4).toString(16).padStart(4, '0')}${command}0000`);
      const type = { 'Content-Type': 'application/x-git-receive-pack-request' };
      const taken: string[] = [];
      for (const [method, path] of [...gitPushes, ...hiddenGitPushes]) {
        const asked = { method, headers: type, ...(method === 'POST' ? { body } : {}) };
        const answer = await fetchRaw(url, path.replace('public.git', 'open.git'), asked);
        if (
          existsSync(join(open, 'refs/heads/victim')) &&
          !answer.body.toString('latin1').includes('# service=git-receive-pack')
        )
          continue;
        taken.push(`${method} ${path}: ${String(answer.status)}`);
        await git(['update-ref', 'refs/heads/victim', victim], open);
      }
      assert.deepEqual(taken, []);
      assert.equal((await git(['rev-parse', 'refs/heads/victim'], open)).trim(), victim);
    },
  },
];
