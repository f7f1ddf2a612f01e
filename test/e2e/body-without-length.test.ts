/** Bodies of unknown length, as a web server sends them that passes a chunked one on. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { buffer } from 'node:stream/consumers';

import { ask, connect } from '../helpers/ask.js';
import { fixture } from '../helpers/bridge.js';
import { succeed } from '../helpers/command.js';
import { hg, makeRepository, tryHg } from '../helpers/mercurial.js';
import { spooledBy, until } from '../helpers/processes.js';
import { answered, page, serve, serveHere, type Served } from '../helpers/served.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { startPassing, type WebServer } from '../helpers/webserver.js';

const COMMANDS = Buffer.from('cmds=heads+');
/** More than is kept in memory. */
const MORE = Buffer.alloc(200_000);
/** Mercurial's command whose arguments are the body (`X-HgArgs-Post`). */
const batch = {
  REQUEST_METHOD: 'POST',
  SCRIPT_NAME: '/a',
  REQUEST_URI: '/a?cmd=batch',
  QUERY_STRING: 'cmd=batch',
  SERVER_NAME: 'localhost',
  SERVER_PORT: '80',
  SERVER_PROTOCOL: 'HTTP/1.1',
  HTTP_X_HGARGS_POST: String(COMMANDS.length),
};

/** A directory with one repository, `a`. */
async function repositories(): Promise<string> {
  const repos = join(await temporaryDirectory(), 'repos');
  await mkdir(repos);
  await makeRepository(join(repos, 'a'), { file: 'x\n' }, '[web]\nallow-push = *\npush_ssl = no\n');
  return repos;
}

/** POST with `Transfer-Encoding: chunked`, in several pieces. */
async function postChunked(url: string, headers: Record<string, string>, body: Buffer): Promise<string> {
  const sent = request(url, { method: 'POST', headers, agent: false });
  for (let offset = 0; offset < body.length; offset += 100_000)
    sent.write(body.subarray(offset, offset + 100_000));
  sent.end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  return `${String(response.statusCode)} ${(await buffer(response)).toString('latin1')}`;
}

describe('A body without a length', { timeout: 300_000 }, () => {
  it('reaches a script that reads to its end as it comes', async () => {
    const served = await serve(['script', fixture('cgi/says-first-line.sh')]);
    const connection = connect(served.socket);
    const sent = connection.send([['CONTENT_LENGTH', '']]);
    sent.stdin.write('the first line\n');
    const [line] = (await once(sent.stderr, 'data')) as [Buffer];
    assert.equal(line.toString(), 'the first line\n', 'it is there before the body has ended');
    sent.stdin.end('and five more');
    const [, rest] = await answered(sent, /\n\n(\d+)\n/);
    assert.equal(rest, '13');
    connection.close();
  });
});

describe('A body without a length for hgweb', { timeout: 300_000 }, () => {
  let repos: string;
  let served: Served;
  let web: WebServer;

  before(async () => {
    repos = await repositories();
    const limits = ['--max-spool-size', '20mb', '--max-processes', '1'];
    served = await serve(['hg', '--repos', repos, '--trust-remote-user', ...limits]);
    web = await startPassing('nginx', served.socket);
  });
  after(() => web.stop());

  it('is counted, so that a command with its arguments in the body is answered', async () => {
    const { stdout, appStatus } = await ask(served.socket, batch, COMMANDS);
    const tip = await hg(['log', '-r', 'tip', '-T', '{node}'], join(repos, 'a'));
    assert.ok(stdout.endsWith(`\n\n${tip}\n`) || stdout.endsWith(`\r\n\r\n${tip}\n`), stdout);
    assert.equal(appStatus, 0);
    await until(() => spooledBy(served.process.pid).length === 0);
  });

  it('is a whole push through an nginx that does not take it in first', async () => {
    const work = join(await temporaryDirectory(), 'work');
    await hg(['clone', '-q', join(repos, 'a'), work]);
    await hg(['branch', '-q', 'pushed'], work);
    await hg(['commit', '-q', '-m', 'chunked'], work);
    await writeFile(join(work, 'big'), randomBytes(10_000_000));
    await hg(['commit', '-q', '-A', '-m', 'ten million octets'], work);
    const bundle = join(work, '.hg/bundle');
    await hg(['bundle', '-q', '-t', 'none-v1', '--base', 'default', bundle], work);
    const headers = { 'X-HgArg-1': 'heads=666f726365', 'Content-Type': 'application/mercurial-0.1' };
    const answer = await postChunked(`${web.url}/a?cmd=unbundle`, headers, await readFile(bundle));
    assert.match(answer, /^200 1\n/, served.log());
    assert.equal((await tryHg(['verify', '-q'], join(repos, 'a'))).status, 0);
    const pushed = await hg(['log', '-T', '{node}\n'], join(repos, 'a'));
    assert.equal(pushed, await hg(['log', '-T', '{node}\n'], work));
  });

  it('takes no place of a process while it arrives', async () => {
    const connection = connect(served.socket);
    const slow = connection.send(Object.entries(batch));
    slow.stdin.write(COMMANDS);
    slow.stdin.write(MORE);
    await until(() => spooledBy(served.process.pid).length === 1);
    // There is one place (--max-processes).
    assert.equal((await ask(served.socket, batch, COMMANDS)).appStatus, 0);
    slow.stdin.end();
    await answered(slow, /^(?:Status: )?200/m);
    await slow.ended;
    connection.close();
    await until(() => spooledBy(served.process.pid).length === 0);
  });

  it('beyond --max-spool-size is a 413, and the log names the option', async () => {
    const { stdout } = await ask(served.socket, batch, Buffer.alloc(21 * 1024 * 1024));
    const { status, id } = page(stdout);
    assert.equal(status, 413);
    const line = await served.logged(new RegExp(` id=${id} `));
    assert.match(line, / warn request refused: .*--max-spool-size.* code=ERR_MAX_SPOOL_SIZE\b/);
    await until(() => spooledBy(served.process.pid).length === 0);
  });

  it('beyond it is a 413 also through nginx', async () => {
    const answer = await postChunked(`${web.url}/a?cmd=batch`, {}, Buffer.alloc(30 * 1024 * 1024));
    assert.match(answer, /^413 /);
  });

  it('that stops coming is a 408', async () => {
    const { socket, logged } = await serveHere(['hg', '--repos', repos, '--idle-timeout', '1s']);
    const connection = connect(socket);
    const sent = connection.send(Object.entries(batch));
    sent.stdin.write('cmds');
    const { status, id } = page((await buffer(sent.stdout)).toString());
    assert.equal(status, 408);
    assert.match(await logged(new RegExp(` id=${id} `)), / code=ERR_BODY_TIMEOUT\b/);
    connection.close();
    await until(() => spooledBy(process.pid).length === 0);
  });

  for (const how of ['abort', 'close'] as const) {
    it(`is forgotten when the web server leaves (${how})`, async () => {
      const connection = connect(served.socket);
      const sent = connection.send([...Object.entries(batch), ['REQUEST_URI', `/left?${how}`]], {
        keepConn: true,
      });
      sent.stdin.write(MORE);
      await until(() => spooledBy(served.process.pid).length === 1);
      if (how === 'abort') sent.abort();
      else connection.close();
      await until(() => spooledBy(served.process.pid).length === 0);
      connection.close();
      await served.logged(new RegExp(`request aborted: .*left\\?${how}`));
    });
  }
});

describe('A body without a length that can’t be kept', { timeout: 300_000 }, () => {
  it('since there is no such directory is a 500', async () => {
    const env = { ...process.env, TMPDIR: '/nowhere' };
    const served = await serve(['hg', '--repos', await repositories()], { env });
    const { status, id } = page((await ask(served.socket, batch, MORE)).stdout);
    assert.equal(status, 500);
    assert.match(await served.logged(new RegExp(` id=${id} `)), / error .*\/nowhere.* code=ERR_SPOOL\b/);
  });

  it('since nothing more may be written is a 507, and nothing is left', async () => {
    const TMPDIR = await temporaryDirectory();
    const served = await serve(['hg', '--repos', await repositories()], { env: { ...process.env, TMPDIR } });
    // As on a full disk: no file of the daemon's may become larger.
    await succeed('prlimit', ['--fsize=100000', '--pid', String(served.process.pid)]);
    const { status, id } = page((await ask(served.socket, batch, Buffer.alloc(400_000))).stdout);
    assert.equal(status, 507);
    assert.match(await served.logged(new RegExp(` id=${id} `)), / error .* code=ERR_SPOOL\b/);
    await until(() => spooledBy(served.process.pid).length === 0);
    assert.deepEqual(await readdir(TMPDIR), []);
    assert.equal((await ask(served.socket, batch, COMMANDS)).appStatus, 0, 'it serves on');
  });
});
