/** What people see of the bridge's own answers, and of programs that leave something to the web server. */

import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { fetchRaw } from '../helpers/http.js';
import { until } from '../helpers/processes.js';
import { answered, serve, type Served } from '../helpers/served.js';
import { connect } from '../helpers/ask.js';
import { lacking } from '../helpers/release.js';
import { webServerNames, webServers } from '../helpers/webserver-table.js';
import { fifo, temporaryDirectory } from '../helpers/temporary.js';
import { addressesFor, startPassing, type WebServer } from '../helpers/webserver.js';

/** Answers by what it is asked for. */
const program = `case $REQUEST_URI in
/wait) printf 'Content-Type: text/plain\\n\\nrunning '; read -r line < "$1"; echo "$line" ;;
/no-field) printf '\\nbody' ;;
/bad-line) printf 'Content-Type: text/plain\\noops\\n\\nbody' ;;
/folded) printf 'Content-Type: text/plain\\n charset=x\\n\\nbody' ;;
/two-statuses) printf 'Status: 200 OK\\nStatus: 404 No\\n\\nbody' ;;
/redirect) printf 'Location: http://www.example.org/\\n\\n' ;;
/local-redirect) printf 'Location: /other\\n\\n' ;;
/long) printf 'Content-Length: 4\\n\\nlonger' ;;
/not-modified) printf 'Status: 304 Not Modified\\n\\nbody' ;;
/nph) printf 'HTTP/1.1 404 Not Here\\r\\nContent-Type: text/plain\\r\\n\\r\\nbody' ;;
/interim) printf 'HTTP/1.1 100 Continue\\r\\n\\r\\nContent-Type: text/plain\\r\\n\\r\\nbody' ;;
/nothing) ;;
/too-slow) sleep 100 ;;
*) printf 'Content-Type: text/plain\\nContent-Length: 4\\n\\nbody' ;;
esac`;

const limits = ['--max-processes', '2', '--max-queue', '0', '--start-timeout', '5s'];

// At once, as most of the time of each goes by in waiting for --start-timeout.
describe('What people see of the bridge', { concurrency: true }, () => {
  for (const name of webServerNames) {
    describe(
      `Behind ${name}`,
      { timeout: 300_000, concurrency: 1, skip: lacking(...webServers[name].program) },
      () => {
        let served: Served;
        let web: WebServer;
        let goOn: string;

        before(async () => {
          goOn = await fifo();
          const { listen } = await addressesFor(name, await temporaryDirectory());
          const own = ['--listen', listen[0], ...limits];
          served = await serve(['script', ...own, '/bin/sh', '--', '-c', program, 'sh', goOn]);
          web = await startPassing(name, listen[0]);
        });
        after(() => web.stop());

        for (const [path, status, text, reason] of [
          ['/no-field', 502, /could not make/, /ERR_INVALID_HEADER/],
          ['/bad-line', 502, /could not make/, /ERR_INVALID_HEADER/],
          ['/folded', 502, /could not make/, /ERR_INVALID_HEADER/],
          ['/two-statuses', 502, /could not make/, /ERR_INVALID_HEADER/],
          ['/nothing', 502, /could not make/, /without a complete header/],
          ['/too-slow', 504, /took too long/, /--start-timeout/],
        ] as const) {
          it(`${path} is the bridge’s own page with ${String(status)}`, async () => {
            const { status: seen, headers, body } = await fetchRaw(web.url, path);
            assert.equal(seen, status);
            assert.match(headers['content-type'] ?? '', /^text\/html/);
            assert.match(body.toString(), text);
            const id = /Request ([0-9a-f]{8}-\d+)</.exec(body.toString())?.[1] ?? '';
            assert.match(await served.logged(new RegExp(` id=${id} `)), reason);
          });
        }

        for (const [path, location] of [
          ['/redirect', 'http://www.example.org/'],
          ['/local-redirect', '/other'],
        ] as const) {
          it(`${path} without a status is a redirect for the browser`, async () => {
            const { status, headers } = await fetchRaw(web.url, path);
            assert.equal(status, 302);
            assert.equal((headers.location ?? '').replace(web.url, ''), location);
          });
        }

        it('the status line and the interim responses of a program are understood', async () => {
          const nph = await fetchRaw(web.url, '/nph');
          assert.deepEqual([nph.status, nph.body.toString()], [404, 'body']);
          const interim = await fetchRaw(web.url, '/interim');
          assert.deepEqual([interim.status, interim.body.toString()], [200, 'body']);
        });

        it('a body ends where Content-Length says, and there is none where there must not be', async () => {
          assert.equal((await fetchRaw(web.url, '/long')).body.toString(), 'long');
          const { status, body } = await fetchRaw(web.url, '/not-modified');
          assert.deepEqual([status, body.length], [304, 0]);
          for (const [path, expected] of [
            ['/', 200],
            ['/nothing', 502],
          ] as const) {
            const head = await fetchRaw(web.url, path, { method: 'HEAD' });
            assert.deepEqual([head.status, head.body.length], [expected, 0]);
          }
        });

        it('what can’t be admitted is a 503 that says when to come back', async () => {
          const busy = [connect(served.socket), connect(served.socket)].map((connection) => {
            const request = connection.send([['REQUEST_URI', '/wait']]);
            request.stdin.end();
            return { connection, request };
          });
          for (const { request } of busy) await answered(request, /running/);
          const { status, headers, body } = await fetchRaw(web.url, '/');
          assert.deepEqual([status, headers['retry-after']], [503, '5']);
          assert.match(body.toString(), /Too many requests are being handled; please try again/);
          for (const { connection, request } of busy) {
            request.stdout.resume();
            request.abort();
            await request.ended;
            connection.close();
          }
          // An aborted request has ended before its process has, which takes the place until then.
          await until(async () => (await fetchRaw(web.url, '/')).status === 200);
        });
      },
    );
  }
});
