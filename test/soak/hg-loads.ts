/** Loads that come through real web servers, or as records, to published Mercurial repositories. */

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';

import { connect } from '../helpers/ask.js';
import { runToEnd } from '../helpers/command.js';
import type { Load } from './load.js';
import { MAX_SPOOL_BYTES } from './stage.js';

const env = { ...process.env, HGPLAIN: '1', HGRCPATH: '' };

const pages: readonly (readonly [path: string, status: number, body: RegExp])[] = [
  ['/?', 200, /history/],
  ['/history.hg/?', 200, /r99\b[^]*<\/html>\s*$/],
  ['/history.hg/log?', 200, /r99\b[^]*<\/html>\s*$/],
  ['/history.hg/rev/50?', 200, /r50\b[^]*<\/html>\s*$/],
  ['/history.hg/file/tip/?', 200, /nf99[^]*<\/html>\s*$/],
  ['/history.hg/raw-file/tip/nf7?', 200, /^r7\n$/],
  ['/history.hg/rev/abcdefabcdef?', 404, /unknown revision/],
  ['/history.hg/?cmd=capabilities&', 200, /\bunbundle=/],
];

export const hgLoads: readonly Load[] = [
  {
    name: 'pages of hgweb',
    weight: 8,
    run: (turn) => {
      const [path, status, body] = turn.random.pick(pages);
      const { url } = turn.random.pick(turn.stage.hgWebServers);
      return turn.get({ url }, (tag) => `${path}soak=${tag}`, { status, body, end: 'completed' });
    },
  },
  {
    name: 'pages of hgweb, left alone',
    weight: 2,
    run: (turn) => {
      const { url } = turn.random.pick(turn.stage.hgWebServers);
      const leave = turn.random.pick(['sent', 'first-octets'] as const);
      return turn.abandon({ url, leave }, (tag) => `/history.hg/log?soak=${tag}`);
    },
  },
  {
    name: 'clones',
    weight: 1,
    run: async ({ stage, random, number, signal }) => {
      const { url } = random.pick(stage.hgWebServers);
      const clone = join(stage.scratch, String(number));
      try {
        const { status, stderr } = await runToEnd('hg', ['clone', '-q', '-U', `${url}/history.hg`, clone], {
          env,
        });
        if (status !== 0) throw new Error(`hg clone: exit status ${String(status)}: ${stderr}`);
        const tip = await runToEnd('hg', ['-R', clone, 'id', '-i', '--debug', '-r', 'tip'], { env });
        if (tip.stdout !== stage.tip) throw new Error(`the clone has ${tip.stdout}, expected ${stage.tip}`);
      } finally {
        if (!signal.aborted) await rm(clone, { recursive: true, force: true });
      }
    },
  },
  {
    name: 'bodies that are too large',
    weight: 1,
    run: async (turn) => {
      const tag = turn.tag('refused');
      const connection = connect(turn.stage.hg.socket);
      try {
        const sent = connection.send([
          ['REQUEST_METHOD', 'POST'],
          ['SCRIPT_NAME', '/history.hg'],
          ['REQUEST_URI', `/history.hg?soak=${tag}`],
        ]);
        // Some of it is kept in memory (--stdin-buffer).
        sent.stdin.end(Buffer.alloc(2 * MAX_SPOOL_BYTES));
        sent.stderr.resume();
        const [stdout] = await Promise.all([buffer(sent.stdout), sent.ended]);
        if (!stdout.toString('latin1').startsWith('Status: 413 ')) {
          turn.suspect(tag, `expected 413, had ${stdout.toString('latin1', 0, 200)}`);
        }
      } finally {
        connection.close();
      }
    },
  },
];
