/** Requests and answers that are under way at the same time, over the socket itself and through a real nginx. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { after, describe, it } from 'node:test';

import { connect } from '../helpers/ask.js';
import { fixture } from '../helpers/bridge.js';
import { isRunning, vanished } from '../helpers/processes.js';
import { type Asked, serveHere } from '../helpers/served.js';
import { digestOf, large } from '../helpers/streams.js';
import { startPassing, type WebServer } from '../helpers/webserver.js';
import { fifo } from '../helpers/temporary.js';
import { isFull } from '../helpers/webserver-table.js';

const MB = 1_000_000;
/** More than is held, and than sockets and pipes take. */
const LARGE = 32 * MB;
const LARGER = (isFull ? 100 : 40) * MB;

interface Answering {
  readonly status: number;
  readonly body: Readable;
}

/** Sends a body; resolves when the answer's header is there, whatever has been sent by then. */
type Post = (body: Readable, length?: number) => Promise<Answering>;

/** The way over the socket reads the answer while it sends, as FastCGI means it (§3.3). */
async function overSocket({ socket }: Asked, body: Readable, length?: number): Promise<Answering> {
  const connection = connect(socket);
  const sent = connection.send([
    ['REQUEST_METHOD', 'POST'],
    ['CONTENT_LENGTH', length === undefined ? '' : String(length)],
  ]);
  // Whoever answers without reading, or for 413, ends the request before its body.
  pipeline(body, sent.stdin).catch(() => undefined);
  void sent.ended.finally(() => {
    connection.close();
  });
  const chunks = sent.stdout.iterator({ destroyOnReturn: false });
  let head = '';
  let end = -1;
  while (end === -1) {
    const { value, done } = (await chunks.next()) as IteratorResult<Buffer, undefined>;
    assert.ok(!done, `the answer ended with ${JSON.stringify(head)}`);
    head += value.toString('latin1');
    end = head.search(/\r?\n\r?\n/);
  }
  const [separator = ''] = /\r?\n\r?\n/.exec(head) ?? [];
  const first = Buffer.from(head.slice(end + separator.length), 'latin1');
  async function* rest(): AsyncGenerator<Buffer> {
    if (first.length > 0) yield first;
    yield* chunks as AsyncIterableIterator<Buffer>;
  }
  const status = Number(/^Status: (\d+)/m.exec(head.slice(0, end))?.[1] ?? 200);
  return { status, body: Readable.from(rest(), { objectMode: false }) };
}

async function throughNginx({ url }: WebServer, body: Readable, length?: number): Promise<Answering> {
  const headers = length === undefined ? {} : { 'Content-Length': length };
  const sent = request(url, { method: 'POST', headers, agent: false });
  pipeline(body, sent).catch(() => undefined);
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  return { status: response.statusCode ?? 0, body: response };
}

const ways = ['over the socket', 'through nginx with fastcgi_request_buffering off'] as const;

for (const way of ways) {
  describe(`A script and its web server, both writing, ${way}`, { timeout: 300_000 }, () => {
    const stops: (() => Promise<void>)[] = [];
    after(async () => {
      for (const stop of stops) await stop();
    });

    /** A daemon for one script, and how a body gets to it. */
    async function bridge(
      name: string,
      { options = [], args = [] }: { options?: string[]; args?: string[] } = {},
    ): Promise<{ served: Asked; post: Post }> {
      const served = await serveHere(['script', ...options, fixture(`cgi/${name}`), '--', ...args]);
      if (way === 'over the socket') return { served, post: (...of) => overSocket(served, ...of) };
      const web = await startPassing('nginx', served.socket);
      stops.push(() => web.stop());
      return { served, post: (...of) => throughNginx(web, ...of) };
    }

    for (const chunked of [false, true]) {
      const kind = chunked ? 'of unknown length' : 'of known length';
      const size = chunked ? LARGE : LARGER;
      it(`get ${String(size / MB)} MB across in each direction, octet by octet, with a body ${kind}`, async () => {
        const { post } = await bridge('echoes-body.sh');
        const sent = large(size);
        const { status, body } = await post(sent.stream, chunked ? undefined : size);
        const received = await digestOf(body);
        assert.deepEqual({ status, ...received }, { status: 200, ...sent.digest() });
        assert.equal(received.bytes, size);
      });
    }

    it('do so also if the script reads nothing before it has written as much', async () => {
      const { post } = await bridge('writes-before-reading.sh', { args: [String(LARGE)] });
      const { body } = await post(large(LARGE).stream, LARGE);
      assert.equal((await digestOf(body)).bytes, LARGE + `${String(LARGE)}\n`.length);
    });

    it(`get an upload of ${String(LARGER / MB)} MB to a script that prints its header first`, async () => {
      const { post } = await bridge('answers-before-reading.sh');
      const { status, body } = await post(large(LARGER).stream, LARGER);
      assert.deepEqual([status, await text(body)], [200, `first ${String(LARGER)}\n`]);
    });

    it('are done when the script answers and ends without reading', async () => {
      const { served, post } = await bridge('answers-without-reading.sh');
      const { status, body } = await post(large(LARGER).stream, LARGER);
      assert.deepEqual([status, await text(body)], [403, 'not you\n']);
      assert.doesNotMatch(served.log(), / (warn|error) /);
    });

    it('are done at --idle-timeout when the script neither reads nor answers', async () => {
      const { served, post } = await bridge('never-reads.sh', { options: ['--idle-timeout', '1s'] });
      const { status, body } = await post(large(LARGER).stream, LARGER);
      assert.equal(status, 504);
      assert.match(await text(body), /<p>The server took too long to make this page\.<\/p>/);
      assert.match(await served.logged(/request failed/), /\(--idle-timeout\).* ended_by=idle-timeout/);
    });

    it('are done when the script closes its standard output, although it lives on', async () => {
      const goOn = await fifo();
      const { served, post } = await bridge('closes-stdout.sh', {
        options: ['--log-level', 'debug'],
        args: [goOn],
      });
      const { status, body } = await post(large(1_000).stream, 1_000);
      const answer = await text(body);
      assert.equal(status, 200);
      assert.ok(isRunning(Number(answer)), 'the script may go on');
      await writeFile(goOn, 'the end\n');
      assert.match(await served.logged(/request answered/), /exit="exit status 0"/);
    });

    it('wait for a background process that holds the answer open, for --idle-timeout', async () => {
      const { served, post } = await bridge('leaves-grandchild.sh', { options: ['--idle-timeout', '3s'] });
      const begun = performance.now();
      const { body } = await post(Readable.from([]), 0);
      const pid = Number(await text(body));
      assert.ok(performance.now() - begun >= 2_999);
      await vanished(pid);
      assert.match(await served.logged(/cut short/), /exit="exit status 0" ended_by=idle-timeout/);
    });
  });
}
