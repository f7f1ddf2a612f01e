/**
 * Three machines, each a network namespace with a bridge of its own, behind HAProxy and behind nginx, as
 * scripts/webservers has them: no GET fails when one is killed, nor when one is stopped.
 */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import type { Bridge } from '../helpers/bridge.js';
import { git, makeBareRepository, tryGit } from '../helpers/git.js';
import { fetchRaw } from '../helpers/http.js';
import { Network } from '../helpers/machines.js';
import { hg, makeRepository, tryHg } from '../helpers/mercurial.js';
import { until } from '../helpers/processes.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { startWebServer, type WebServer } from '../helpers/webserver.js';
import { strangers } from './web-server-strangers.js';
import { isFull } from '../helpers/webserver-table.js';

const shipped = fileURLToPath(new URL('../../../scripts/webservers/several.toml', import.meta.url));

/** Requests at a time, and what each sender waits for before the next one: the machines share this one's processors. */
const CONCURRENCY = isFull ? 4 : 2;
const PAUSE_MS = isFull ? 100 : 400;
/** That each machine has answered before anything happens to one, and after it. */
const SHARE = isFull ? 10 : 3;
/** At least, in all. */
const REQUESTS = isFull ? 100 : 50;
/** Of a machine, until a request was lost with it. */
const MOST_KILLS = 5;
/** On a busy machine, for what nothing announces. */
const PATIENCE_MS = 60_000;

const pages: readonly (readonly [host: string, paths: readonly string[]])[] = [
  ['hg', ['/', '/public', '/public/log', '/public/rev/tip', '/public/file/tip', '/public?cmd=capabilities']],
  ['hg', ['/public/raw-file/tip/read.me', '/static/style-paper.css']],
  ['git', ['/', '/public.git', '/public.git/log', '/public.git/tree', '/public.git/commit']],
  ['git', ['/public.git/info/refs?service=git-upload-pack', '/public.git/blob_plain/HEAD:/read.me']],
];
const targets = pages.flatMap(([host, paths]) => paths.map((path) => [`${host}.example.org`, path] as const));
/** What is asked for again and again: mostly what takes a machine the least. */
const light = (pattern: RegExp): typeof targets => targets.filter(([, path]) => pattern.test(path));
const repeated = isFull
  ? targets
  : [/refs/, /plain/, /refs/, /refs/, /refs/, /[?]cmd/, /refs/, /refs/].flatMap(light);
/** What the queries of a front end's load have, by which the access logs tell it from others. */
const mark = ({ name }: Front): string => `for-${name}`;

/** GETs of pages, again and again, each of whose answers has to be what the first one was. */
class Load {
  readonly failures: string[] = [];
  answered = 0;
  #isWanted = true;
  readonly #loops: readonly Promise<void>[];

  private constructor(url: string, front: Front, expected: ReadonlyMap<string, Buffer>) {
    let next = 0;
    const loop = async (): Promise<void> => {
      while (this.#isWanted) {
        const [host, path] = repeated[next++ % repeated.length] ?? ['', ''];
        const marked = `${path}${path.includes('?') ? '&' : '?'}${mark(front)}`;
        const failed = await fetchRaw(url, marked, { headers: { Host: host } }).then(
          ({ status, body }) => {
            if (status === 200 && body.equals(expected.get(host + path) ?? Buffer.alloc(0))) return undefined;
            return `status ${String(status)}, ${body.toString('latin1').slice(0, 200)}`;
          },
          (error: unknown) => String(error),
        );
        if (failed === undefined) this.answered += 1;
        else this.failures.push(`${host}${path}: ${failed}`);
        await delay(PAUSE_MS);
      }
    };
    this.#loops = Array.from({ length: CONCURRENCY }, loop);
  }

  static async start(url: string, front: Front): Promise<Load> {
    const expected = new Map<string, Buffer>();
    for (const [host, path] of targets) {
      const { status, body } = await fetchRaw(url, path, { headers: { Host: host } });
      assert.equal(status, 200, `${host}${path}: ${body.toString()}`);
      expected.set(host + path, body);
    }
    return new Load(url, front, expected);
  }

  async stop(): Promise<void> {
    this.#isWanted = false;
    await Promise.all(this.#loops);
  }
}

/** Stops a bridge, if it runs, without its --drain-delay. */
async function stopAtOnce(bridge: Bridge): Promise<void> {
  const { exitCode, signalCode } = bridge.process;
  if (exitCode !== null || signalCode !== null) return;
  bridge.process.kill('SIGTERM');
  await bridge.logged(/ draining: /);
  await bridge.stop();
}

/** What HAProxy says of the servers of a name, in all backends, by the names of its columns. */
async function statistics(directory: string, server: string): Promise<ReadonlyMap<string, string>[]> {
  const socket = createConnection(join(directory, 'haproxy/haproxy.sock'));
  await once(socket, 'connect');
  socket.write('show stat\n');
  const [head = '', ...lines] = (await text(socket)).split('\n');
  const columns = head.split(',');
  const rows = lines.map((line) => line.split(',')).filter(([, name]) => name === server);
  assert.ok(rows.length > 0);
  return rows.map((row) => new Map(columns.map((column, index) => [column, row[index] ?? ''])));
}

const nginxErrors = (directory: string): Promise<string> =>
  readFile(join(directory, 'nginx/error.log'), 'utf8');

const names = ['one', 'two', 'three'] as const;
type Name = (typeof names)[number];

/** To nginx's map a push, whose user counts, and to its locations a fetch. */
const bothNames = 'git-receive-pack%20/git-upload-pack';

/** How the front end is seen to have noticed what has happened to a machine. */
interface Front {
  readonly name: 'haproxy' | 'nginx';
  readonly sawItGo: (directory: string, machine: Name, address: string) => Promise<boolean>;
  /** Whether a password counts where none is asked for. */
  readonly readsAsSomebody: boolean;
  /** Requests that had to be sent again, as a machine was gone. */
  readonly repeated: (directory: string) => Promise<number>;
}

const fronts: readonly Front[] = [
  {
    name: 'haproxy',
    readsAsSomebody: true,
    sawItGo: async (directory, machine) =>
      (await statistics(directory, machine)).every((row) => row.get('status')?.startsWith('DOWN')),
    repeated: async (directory) => {
      const rows = await statistics(directory, 'two');
      return rows.reduce((sum, row) => sum + Number(row.get('wretr')) + Number(row.get('wredis')), 0);
    },
  },
  {
    name: 'nginx',
    readsAsSomebody: false,
    sawItGo: async (directory, _machine, address) =>
      (await nginxErrors(directory)).includes(`upstream: "fastcgi://${address}:`),
    repeated: async (directory) => (await nginxErrors(directory)).split('upstream: "fastcgi://').length - 1,
  },
];

describe('A machine that takes a request and is lost', { timeout: 60_000 }, () => {
  it('is asked by HAProxy once for what may do more than read', async () => {
    const directory = await temporaryDirectory();
    const tries: string[] = [];
    const lost = createServer((socket) => {
      socket
        .on('error', () => undefined)
        .once('data', (octets) => {
          tries.push(/REQUEST_METHOD(GET|POST)/.exec(octets.toString('latin1'))?.[1] ?? 'health');
          socket.destroy();
        });
    });
    // The first one's, in the network of this machine alone.
    lost.listen(9000, '127.0.0.11');
    await once(lost, 'listening');
    const place = { directory, documentRoot: directory, sockets: '127.0.0' };
    const web = await startWebServer('haproxy', { ...place, site: 'several', users: ['ann'] });
    try {
      const headers = { Host: 'hg.example.org' };
      await fetchRaw(web.url, '/public?cmd=batch', {
        method: 'POST',
        headers,
        body: Buffer.from('cmds=heads'),
      });
      assert.deepEqual(
        tries.filter((each) => each === 'POST'),
        ['POST'],
      );
    } finally {
      await web.stop();
      lost.close();
    }
  });
});

describe('Three machines', { timeout: 300_000, skip: process.getuid?.() !== 0 }, () => {
  const network = new Network(names.length);
  const bridges = new Map<Name, Bridge>();
  const webs = new Map<Front['name'], WebServer>();
  let directory: string;
  let repos: string;

  const machine = (name: Name): Network['machines'][number] => {
    const found = network.machines[names.indexOf(name)];
    assert.ok(found);
    return found;
  };
  const urlOf = ({ name }: Front): string => webs.get(name)?.url ?? assert.fail();
  const accessLog = (name: Name): string => join(directory, `${name}.access.log`);
  /** GETs that a machine has answered for a front end's load. */
  const answeredBy = async (name: Name, front: Front): Promise<number> => {
    const lines = (await readFile(accessLog(name), 'utf8')).split('\n');
    return lines.filter((line) => / "GET" .* completed /.test(line) && line.includes(mark(front))).length;
  };
  /** Resolves when it has answered more, for each of them. */
  const answersMore = async (name: Name): Promise<void> => {
    for (const front of fronts) {
      const enough = (await answeredBy(name, front)) + SHARE;
      await until(async () => (await answeredBy(name, front)) >= enough, PATIENCE_MS);
    }
  };
  const start = async (name: Name): Promise<void> => {
    const { address, start: startThere } = machine(name);
    const example = await readFile(shipped, 'utf8');
    const file = join(directory, `${name}.toml`);
    const here = example.replaceAll('192.0.2.11', address).replaceAll('192.0.2.', `${network.prefix}.`);
    await writeFile(file, here.replaceAll('/srv/', `${repos}/`));
    const args = ['serve', '--config', file, '--access-log', accessLog(name)];
    // Pushes go to the first one.
    bridges.set(name, await startThere(args, directory, name === 'one' ? undefined : repos));
  };

  before(async () => {
    directory = await temporaryDirectory();
    repos = join(directory, 'repos');
    for (const site of ['hg', 'git']) await mkdir(join(repos, site), { recursive: true });
    const files = { 'read.me': 'a line\n'.repeat(1_000) };
    await makeRepository(join(repos, 'hg/public'), files, '[web]\nallow-push = ann\npush_ssl = no\n');
    await makeRepository(join(repos, 'hg/private'), files, '[web]\nallow_read = ann\n');
    await makeBareRepository(join(repos, 'git/public.git'), files);
    await network.make();
    await Promise.all(names.map(start));
    for (const { name } of fronts) {
      const place = { directory, documentRoot: directory, sockets: network.prefix };
      webs.set(name, await startWebServer(name, { ...place, site: 'several', users: ['ann'] }));
    }
  });
  after(async () => {
    try {
      for (const web of webs.values()) await web.stop();
      for (const bridge of bridges.values()) await stopAtOnce(bridge);
      for (const { empty } of network.machines) await empty();
    } finally {
      await network.remove();
    }
  });

  it('lose no GET when one is killed, nor when one is stopped, and take both up again', async () => {
    const loads = new Map<Front, Load>();
    const sawItGo = async (name: Name): Promise<void> => {
      for (const front of fronts)
        await until(() => front.sawItGo(directory, name, machine(name).address), PATIENCE_MS);
    };
    try {
      for (const front of fronts) loads.set(front, await Load.start(urlOf(front), front));
      await Promise.all(names.map(answersMore));

      // It may have had no request of a web server's in that moment.
      const areRepeated = async (): Promise<boolean> =>
        (await Promise.all(fronts.map((front) => front.repeated(directory)))).every((each) => each > 0);
      for (let kills = 1; ; kills++) {
        bridges.get('two')?.process.kill('SIGKILL');
        await sawItGo('two');
        if ((await areRepeated()) || kills === MOST_KILLS) break;
        await start('two');
        await answersMore('two');
      }
      await answersMore('three');

      bridges.get('three')?.process.kill('SIGTERM');
      assert.equal(await bridges.get('three')?.exited(), 0);
      await sawItGo('three');
      await answersMore('one');

      await Promise.all([start('two'), start('three')]);
      await Promise.all(names.map(answersMore));
      for (const load of loads.values()) await until(() => load.answered >= REQUESTS, PATIENCE_MS);
    } finally {
      for (const load of loads.values()) await load.stop();
    }
    for (const [front, load] of loads) {
      assert.deepEqual(load.failures, [], front.name);
      assert.ok((await front.repeated(directory)) > 0, front.name);
      const answered = await Promise.all(names.map((name) => answeredBy(name, front)));
      const sum = answered.reduce((total, each) => total + each, 0);
      // One that is killed may have answered what it had no time to write down.
      assert.ok(sum >= load.answered - CONCURRENCY, `${String(sum)} of ${String(load.answered)}`);
    }
  });

  for (const front of fronts) {
    describe(`behind ${front.name}`, () => {
      it('take pushes at the first one, with a password, and none with a wrong one or without', async () => {
        const url = urlOf(front);
        const work = join(directory, `work-${front.name}`);
        await hg(['clone', '-q', `${url}/public`, `${work}-hg`]);
        // More than a web server takes by itself.
        const large = randomBytes(1_500_000);
        await writeFile(join(`${work}-hg`, 'new'), large);
        await hg(['commit', '-q', '-A', '-m', 'new'], `${work}-hg`);
        const withUser = url.replace('//', '//ann:secret@');
        const strangersUrls = [url, url.replace('//', '//ann:wrong@')];
        for (const stranger of strangersUrls) {
          const { stderr } = await tryHg(['push', '--noninteractive', `${stranger}/public`], `${work}-hg`);
          assert.match(stderr, /authorization/);
        }
        await hg(['push', '-q', `${withUser}/public`], `${work}-hg`);
        const tip = ['log', '-r', 'tip', '-T', '{node}'];
        assert.equal(await hg(tip, join(repos, 'hg/public')), await hg(tip, `${work}-hg`));

        // HAProxy takes no large body of unknown length.
        const there = ['-c', 'http.extraHeader=Host: git.example.org', '-c', 'http.postBuffer=2097152'];
        await git([...there, 'clone', '-q', `${url}/public.git`, `${work}-git`]);
        await writeFile(join(`${work}-git`, 'new'), large);
        await git(['add', '-A'], `${work}-git`);
        await git(['commit', '-q', '-m', 'new'], `${work}-git`);
        for (const stranger of strangersUrls) {
          const { stderr } = await tryGit(
            [...there, 'push', `${stranger}/public.git`, 'main'],
            `${work}-git`,
          );
          assert.match(stderr, /Authentication failed|could not read Username|terminal prompts disabled/);
        }
        await git([...there, 'push', '-q', `${withUser}/public.git`, 'main'], `${work}-git`);
        const head = ['rev-parse', 'main'];
        assert.equal(await git(head, join(repos, 'git/public.git')), await git(head, `${work}-git`));
      });

      it('take nobody for somebody whose password is wrong or missing', async () => {
        const url = urlOf(front);
        const hgHost = { Host: 'hg.example.org' };
        const gitHost = { Host: 'git.example.org' };
        for (const headers of strangers) {
          const page = await fetchRaw(url, '/private', { headers: { ...headers, ...hgHost } });
          assert.equal(page.status, 401);
          for (const path of [
            'git-receive-pack',
            'git%2Dreceive-pack',
            'info/refs?service=git%2Dreceive-pack',
            bothNames,
          ]) {
            const method = path.startsWith('info') ? 'GET' : 'POST';
            const asked = { method, headers: { ...headers, ...gitHost } };
            const { status } = await fetchRaw(url, `/public.git/${path}`, asked);
            assert.ok(status >= 400 && status < 500, `${path}: ${String(status)}`);
            if (path === bothNames && front.name === 'nginx') assert.equal(status, 401);
          }
        }
        const known = { ...hgHost, Authorization: `Basic ${Buffer.from('ann:secret').toString('base64')}` };
        const { status } = await fetchRaw(url, '/private', { headers: known });
        assert.equal(status, front.readsAsSomebody ? 200 : 401);
      });
    });
  }
});
