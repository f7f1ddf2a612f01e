/** Who may read and push, with --trust-remote-user and without: real hg and git, asked as a web server would ask. */

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';

import { type Answer, ask } from '../helpers/ask.js';
import { fixture, runBridge } from '../helpers/bridge.js';
import { git, makeBareRepository, tryGit } from '../helpers/git.js';
import { hg, makeRepository, tryHg } from '../helpers/mercurial.js';
import { runHere } from '../helpers/run-here.js';
import { type Asked, serveHere } from '../helpers/served.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { startPassing } from '../helpers/webserver.js';

const TRUST = '--trust-remote-user';
const REFUSED = /^Status: 403 nobody can push here: fcgi2cgi runs without --trust-remote-user\r\n/;

type Params = Readonly<Record<string, string>>;
type Get = (path: string, params?: Params) => Promise<Answer>;

const getting =
  ({ socket }: Asked): Get =>
  (path, params = {}) => {
    const [scriptName = '', query = ''] = path.split('?');
    const server = { SERVER_NAME: 'localhost', SERVER_PORT: '80' };
    return ask(socket, { ...server, SCRIPT_NAME: scriptName, QUERY_STRING: query, ...params });
  };

describe('A git site', { timeout: 300_000 }, () => {
  let repos: string;
  let work: string;

  before(async () => {
    repos = join(await temporaryDirectory(), 'repos');
    work = await makeBareRepository(join(repos, 'one.git'), { a: 'a\n' });
    await makeBareRepository(join(repos, 'open.git'), { a: 'a\n' });
    await git(['config', 'http.receivepack', 'true'], join(repos, 'open.git'));
    await git(['commit', '-q', '--allow-empty', '-m', 'second'], work);
  });

  it('lets nobody push by himself, whatever the web server and the repository say', async () => {
    const served = await serveHere(['git', '--repos', repos]);
    const get = getting(served);
    for (const name of ['one.git', 'open.git']) {
      for (const params of [{}, { REMOTE_USER: 'ann', AUTH_TYPE: 'Basic' }]) {
        const asked = await get(`/${name}/info/refs?service=git-receive-pack`, params);
        assert.match(asked.stdout, REFUSED);
        const pushed = await get(`/${name}/git-receive-pack`, { REQUEST_METHOD: 'POST', ...params });
        assert.match(pushed.stdout, REFUSED);
      }
      assert.match((await get(`/${name}/info/refs?service=git-upload-pack`)).stdout, /refs\/heads\/main/);
    }
    await served.logged(/ info request refused: nobody can push here: .*--trust-remote-user .*status=403/);
  });

  it('tells who pushes what is missing, and explain tells the administrator', async () => {
    const served = await serveHere(['git', '--repos', repos]);
    const web = await startPassing('nginx', served.socket);
    try {
      const { status, stderr } = await tryGit(['push', `${web.url}/one.git`, 'main'], work);
      assert.notEqual(status, 0);
      assert.match(stderr, /^remote: nobody can push here: fcgi2cgi runs without --trust-remote-user$/m);
    } finally {
      await web.stop();
    }
    const known = ['--param', 'REMOTE_USER=ann', '--', '/one.git/info/refs?service=git-'];
    const explained = async (service: string, ...options: string[]): Promise<string> => {
      const command = ['explain', 'git', '--repos', repos, ...options, ...known];
      return (await runHere([...command.slice(0, -1), `${command.at(-1) ?? ''}${service}`])).stdout;
    };
    assert.match(await explained('receive-pack'), /^refuses +403 Forbidden: .*--trust-remote-user$/m);
    assert.match(await explained('upload-pack'), /^dropped +REMOTE_USER=ann: .*--trust-remote-user$/m);
    assert.match(await explained('receive-pack', TRUST), /^param +REMOTE_USER=ann$/m);
  });

  it('leaves it to git with the option: somebody, or anybody where the repository says so', async () => {
    const get = getting(await serveHere(['git', '--repos', repos, TRUST]));
    const query = 'info/refs?service=git-receive-pack';
    assert.match((await get(`/one.git/${query}`)).stdout, /^Status: 403 /m);
    assert.match((await get(`/one.git/${query}`, { REMOTE_USER: '' })).stdout, /^Status: 403 /m);
    assert.match(
      (await get(`/one.git/${query}`, { REMOTE_USER: 'ann' })).stdout,
      /# service=git-receive-pack/,
    );
    assert.match((await get(`/open.git/${query}`)).stdout, /# service=git-receive-pack/);
  });

  it('shows no page as to somebody', async () => {
    const config = join(await temporaryDirectory(), 'gitweb.conf');
    await writeFile(config, "$site_name = 'for <' . ($ENV{REMOTE_USER} // '') . '>';");
    const shownFor = async (...options: string[]): Promise<string | undefined> => {
      const get = getting(await serveHere(['git', '--repos', repos, '--gitweb-config', config, ...options]));
      return /for &lt;(\w*)&gt;/.exec((await get('/', { REMOTE_USER: 'ann' })).stdout)?.[1];
    };
    assert.deepEqual([await shownFor(), await shownFor(TRUST)], ['', 'ann']);
  });
});

describe('A Mercurial site', { timeout: 300_000 }, () => {
  let repos: string;
  let node: string;

  before(async () => {
    repos = join(await temporaryDirectory(), 'repos');
    await makeRepository(join(repos, 'a'), { f: 'f\n' }, '[web]\nallow-push = *\npush_ssl = no\n');
    await makeRepository(join(repos, 'closed'), { f: 'f\n' }, '[web]\nallow_read = ann\n');
    node = await hg(['log', '-r', 'tip', '-T', '{node}'], join(repos, 'a'));
  });

  const bookmarks = (): Promise<string> => hg(['bookmarks', '-T', '{bookmark}\n'], join(repos, 'a'));
  /** A bookmark is pushed, in the two ways of Mercurial's. */
  const pushes = (name: string): readonly string[] => [
    `/a?cmd=pushkey&namespace=bookmarks&key=${name}&old=&new=${node}`,
    `/a?cmd=batch&cmds=${encodeURIComponent(`heads ;pushkey namespace=bookmarks,key=${name}-2,old=,new=${node}`)}`,
  ];
  const post = { REQUEST_METHOD: 'POST', CONTENT_LENGTH: '0', REMOTE_USER: 'ann' };

  for (const runner of ['spawn', 'warm']) {
    it(`lets nobody push by himself, whatever the repository says (--runner ${runner})`, async () => {
      const served = await serveHere(['hg', '--repos', repos, '--runner', runner]);
      const get = getting(served);
      for (const path of [...pushes('x'), '/a?cmd=unbundle']) {
        assert.match((await get(path, post)).stdout, REFUSED, path);
      }
      assert.match((await get('/a?cmd=heads')).stdout, new RegExp(node));
      assert.equal(await bookmarks(), '');
      await served.logged(/ info request refused: nobody can push here: .*--trust-remote-user .*status=403/);
    });
  }

  it('takes no largefile or LFS object either', async () => {
    const directory = await temporaryDirectory();
    const extensions = join(directory, 'hgrc');
    const caches = `[lfs]\nusercache = ${directory}\n[largefiles]\nusercache = ${directory}\n`;
    await writeFile(extensions, `[extensions]\nlfs =\nlargefiles =\n${caches}`);
    const get = getting(await serveHere(['hg', '--repos', repos, '--hgweb-config', extensions]));
    const oid = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
    const put = { ...post, REQUEST_METHOD: 'PUT', CONTENT_TYPE: 'application/octet-stream' };
    assert.match((await get(`/a/.hg/lfs/objects/${oid}`, put)).stdout, REFUSED);
    assert.match(
      (await get('/a?cmd=putlfile&sha=da39a3ee5e6b4b0d3255bfef95601890afd80709', post)).stdout,
      REFUSED,
    );
  });

  it('tells who pushes what is missing', async () => {
    const { socket } = await serveHere(['hg', '--repos', repos]);
    const web = await startPassing('nginx', socket);
    try {
      const work = join(await temporaryDirectory(), 'work');
      await hg(['clone', '-q', `${web.url}/a`, work]);
      await writeFile(join(work, 'g'), 'g\n');
      await hg(['commit', '-q', '-A', '-m', 'second'], work);
      const { status, stderr } = await tryHg(['push', '--noninteractive', `${web.url}/a`], work);
      assert.equal(status, 255);
      assert.match(stderr, /HTTP Error 403: nobody can push here: fcgi2cgi runs without --trust-remote-user/);
    } finally {
      await web.stop();
    }
  });

  it('shows to nobody what only somebody may read', async () => {
    const reads = async (...options: string[]): Promise<string[]> => {
      const get = getting(await serveHere(['hg', '--repos', repos, ...options]));
      const answers = ['/closed', '/closed?cmd=heads', '/'].map((path) => get(path, { REMOTE_USER: 'ann' }));
      return (await Promise.all(answers)).map(({ stdout }, index) => {
        const status = /^Status: (\d+)/.exec(stdout)?.[1] ?? '';
        return index < 2 ? status : `${status}, ${stdout.includes('/closed/') ? 'listed' : 'not listed'}`;
      });
    };
    assert.deepEqual(await reads(), ['401', '401', '200, not listed']);
    assert.deepEqual(await reads(TRUST), ['200', '200', '200, listed']);
  });

  it('leaves it to Mercurial with the option', async () => {
    const get = getting(await serveHere(['hg', '--repos', repos, TRUST]));
    for (const path of pushes('y')) assert.match((await get(path, post)).stdout, /^Status: 200 /, path);
    assert.equal(await bookmarks(), 'y\ny-2\n');
  });

  it('lets those without a name push only in a way that every web server can see', async () => {
    const served = await serveHere(['hg', '--repos', repos, TRUST]);
    const get = getting(served);
    const byNobody = { ...post, REMOTE_USER: '' };
    const [plain = '', batch = ''] = pushes('z');
    assert.match((await get(plain, byNobody)).stdout, /^Status: 200 /);
    assert.match((await get(batch, byNobody)).stdout, /^Status: 403 nobody can push by this command/);
    for (const hidden of [plain.replace('cmd', '%63md'), `${plain}&CMD=heads`]) {
      assert.match((await get(hidden, byNobody)).stdout, /^Status: 400 /);
    }
    assert.equal(await bookmarks(), 'y\ny-2\nz\n');
    await served.logged(/hgweb\.cgi: nobody can push by this command: it needs a REMOTE_USER, by nobody/);
    await served.logged(/request refused: The query has cmd twice, or cmd or its value not in plain letters/);
  });
});

describe('Other sites', { timeout: 300_000 }, () => {
  it('pass REMOTE_USER on, and know no such option', async () => {
    const script = fixture('cgi/prints-environment.sh');
    const { socket } = await serveHere(['script', script]);
    assert.match((await ask(socket, { REMOTE_USER: 'ann' })).stdout, /^REMOTE_USER=ann$/m);
    const { status, stderr } = await runBridge(['script', script, TRUST]);
    assert.equal(status, 2);
    assert.match(stderr, /trust-remote-user/);
  });
});
