import assert from 'node:assert/strict';
import { copyFile, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';

import { type Answer, ask } from '../helpers/ask.js';
import { fixture, runBridge } from '../helpers/bridge.js';
import { parseInvocation, type SeenInvocation } from '../helpers/invocation.js';
import { page, type Asked, serveHere } from '../helpers/served.js';
import { temporaryDirectory } from '../helpers/temporary.js';

type Params = Readonly<Record<string, string>>;

describe('fcgi2cgi dir', { timeout: 300_000 }, () => {
  let base: string;
  let root: string;
  let served: Asked;

  before(async () => {
    base = await temporaryDirectory();
    root = join(base, 'root');
    const script = fixture('cgi/prints-invocation.pl');
    // What a comparison of strings would take for the root.
    for (const directory of ['root/sub/deep', 'root-not', 'outside']) {
      await mkdir(join(base, directory), { recursive: true });
    }
    for (const file of ['root/a.pl', 'root/sub/b.pl', 'root-not/c.pl', 'outside/d.pl']) {
      await copyFile(script, join(base, file));
    }
    await copyFile(script, Buffer.from(`${root}/lat\xefn.pl`, 'latin1'));
    await writeFile(join(root, 'plain.txt'), 'no script', { mode: 0o644 });
    await symlink(join(root, 'sub/b.pl'), join(root, 'link-inside.pl'));
    await symlink(join(base, 'outside/d.pl'), join(root, 'link-outside.pl'));
    await symlink(join(base, 'outside'), join(root, 'dir-outside'));
    await symlink('nowhere', join(root, 'dangling.pl'));
    await symlink(root, join(base, 'root-by-link'));
    served = await serveHere(['dir', '--root', root]);
  });

  /** What the script saw that was run. */
  async function ran(params: Params, where = served): Promise<SeenInvocation> {
    const { stdout, stderr, appStatus } = await ask(where.socket, params);
    assert.deepEqual({ stderr, appStatus }, { stderr: '', appStatus: 0 });
    const seen = parseInvocation(stdout);
    assert.notEqual(seen.directory, '', `nothing was run: ${stdout}`);
    return seen;
  }

  async function refused(params: Params): Promise<{ status: number; text: string; answer: Answer }> {
    const answer = await ask(served.socket, params);
    const { status, id, text } = page(answer.stdout);
    assert.match(
      await served.logged(new RegExp(`id=${id} `)),
      new RegExp(`request refused.* status=${String(status)}`),
    );
    assert.equal(answer.appStatus, 0);
    assert.ok(!answer.stdout.includes(base), 'the page shows a path of this machine');
    return { status, text, answer };
  }

  it('runs the program that SCRIPT_FILENAME names, in its own directory', async () => {
    const seen = await ran({ SCRIPT_FILENAME: `${root}/sub/b.pl`, PATH_INFO: '/x' });
    assert.deepEqual([seen.directory, seen.args], [join(root, 'sub'), []]);
    assert.deepEqual(
      [seen.variables['SCRIPT_FILENAME'], seen.variables['PATH_INFO']],
      [`${root}/sub/b.pl`, '/x'],
    );
  });

  it('runs what lies inside by whatever way it was named', async () => {
    for (const name of ['link-inside.pl', 'sub/deep/../b.pl', './sub//b.pl', '../root/sub/b.pl']) {
      assert.equal((await ran({ SCRIPT_FILENAME: `${root}/${name}` })).directory, join(root, 'sub'), name);
    }
    assert.equal((await ran({ SCRIPT_FILENAME: `${base}/root-by-link/a.pl` })).directory, root);
    assert.equal((await ran({ SCRIPT_FILENAME: `${root}/lat\xefn.pl` })).directory, root);
  });

  it('compares real paths where --root is a symbolic link, too', async () => {
    const linked = await serveHere(['dir', '--root', join(base, 'root-by-link')]);
    assert.equal((await ran({ SCRIPT_FILENAME: `${base}/root-by-link/a.pl` }, linked)).directory, root);
    assert.equal((await ran({ SCRIPT_FILENAME: `${root}/a.pl` }, linked)).directory, root);
  });

  for (const prefix of [
    'proxy:fcgi://localhost',
    'proxy:fcgi://127.0.0.1:9000',
    'proxy:unix:/run/s|fcgi://x',
  ]) {
    it(`takes Apache’s ${prefix} off SCRIPT_FILENAME`, async () => {
      const seen = await ran({ SCRIPT_FILENAME: `${prefix}${root}/a.pl` });
      assert.equal(seen.variables['SCRIPT_FILENAME'], `${root}/a.pl`);
      const { status } = await refused({ SCRIPT_FILENAME: `${prefix}${base}/outside/d.pl` });
      assert.equal(status, 403);
    });
  }

  it('finds the script and PATH_INFO in SCRIPT_NAME below DOCUMENT_ROOT', async () => {
    const cases: readonly (readonly [params: Params, name: string, pathInfo: string | undefined])[] = [
      [{ SCRIPT_NAME: '/a.pl' }, '/a.pl', undefined],
      [{ SCRIPT_NAME: '/a.pl', PATH_INFO: '/given' }, '/a.pl', '/given'],
      [{ SCRIPT_NAME: '/a.pl/' }, '/a.pl', '/'],
      [{ SCRIPT_NAME: '/a.pl/x/y.pl' }, '/a.pl', '/x/y.pl'],
      [{ SCRIPT_NAME: '/sub/b.pl/x//y' }, '/sub/b.pl', '/x//y'],
      [{ SCRIPT_NAME: '/sub/b.pl/x', PATH_INFO: '/y' }, '/sub/b.pl', '/x/y'],
      [{ SCRIPT_NAME: '/a.pl/lat\xefn' }, '/a.pl', '/lat\xefn'],
      [{ SCRIPT_NAME: '/a.pl', SCRIPT_FILENAME: '' }, '/a.pl', undefined],
    ];
    for (const DOCUMENT_ROOT of [root, `${root}/`, `${base}/root-by-link`]) {
      for (const [params, name, pathInfo] of cases) {
        const { variables, directory } = await ran({ DOCUMENT_ROOT, ...params });
        const seen = [variables['SCRIPT_NAME'], variables['PATH_INFO'], directory];
        assert.deepEqual(seen, [name, pathInfo, join(root, name, '..')], JSON.stringify(params));
      }
    }
  });

  it('prefers SCRIPT_FILENAME', async () => {
    const params = { SCRIPT_FILENAME: `${root}/sub/b.pl`, DOCUMENT_ROOT: root, SCRIPT_NAME: '/a.pl' };
    assert.equal((await ran(params)).directory, join(root, 'sub'));
  });

  it('refuses with 403 what lies outside --root, by whatever way it was named', async () => {
    const outside: Params[] = [
      { SCRIPT_FILENAME: `${base}/outside/d.pl` },
      { SCRIPT_FILENAME: `${root}/../outside/d.pl` },
      { SCRIPT_FILENAME: `${base}/root-not/c.pl` },
      { SCRIPT_FILENAME: `${root}/link-outside.pl` },
      { SCRIPT_FILENAME: `${root}/dir-outside/d.pl` },
      { SCRIPT_FILENAME: '/bin/sh' },
      { DOCUMENT_ROOT: `${base}/outside`, SCRIPT_NAME: '/d.pl/x' },
      { DOCUMENT_ROOT: root, SCRIPT_NAME: '/dir-outside/d.pl/x' },
    ];
    for (const params of outside) {
      const { status, text } = await refused(params);
      assert.deepEqual(
        [status, text],
        [403, 'The script is not one that may run here.'],
        JSON.stringify(params),
      );
    }
  });

  it('refuses with 404 what does not exist', async () => {
    for (const name of ['absent.pl', 'dangling.pl', 'a.pl/below', 'absent/a.pl', 'sub\nb.pl']) {
      const { status, text } = await refused({ SCRIPT_FILENAME: `${root}/${name}` });
      assert.deepEqual([status, text], [404, 'There is no such script.'], name);
    }
    for (const SCRIPT_NAME of ['/absent.pl', '/absent/x/y', '/sub/absent/b.pl', 'no-slash']) {
      const { status, text } = await refused({ DOCUMENT_ROOT: root, SCRIPT_NAME });
      assert.deepEqual([status, text], [404, 'There is no such script.'], SCRIPT_NAME);
    }
  });

  it('refuses with 403 what is no program, and says why', async () => {
    const reasons: readonly (readonly [params: Params, text: string])[] = [
      [{ SCRIPT_FILENAME: `${root}/sub` }, 'The script is not a regular file.'],
      [{ SCRIPT_FILENAME: root }, 'The script is not a regular file.'],
      [{ DOCUMENT_ROOT: root, SCRIPT_NAME: '/sub/' }, 'The script is not a regular file.'],
      [{ SCRIPT_FILENAME: `${root}/plain.txt` }, 'The script is not executable.'],
      [{ DOCUMENT_ROOT: root, SCRIPT_NAME: '/plain.txt/x' }, 'The script is not executable.'],
    ];
    for (const [params, reason] of reasons) {
      const { status, text } = await refused(params);
      assert.deepEqual([status, text], [403, reason], JSON.stringify(params));
    }
    assert.match(await served.logged(/plain\.txt is not executable/), /try chmod \+x/);
  });

  it('refuses with 404 a name with NUL, and in SCRIPT_NAME one with ..', async () => {
    const nul = 'The script’s name contains a NUL byte.';
    const path = 'The path is not one that a script can have.';
    const reasons: readonly (readonly [params: Params, text: string])[] = [
      [{ SCRIPT_FILENAME: `${root}/a.pl\0.txt` }, nul],
      [{ SCRIPT_FILENAME: `${root}/a.pl\0` }, nul],
      [{ DOCUMENT_ROOT: root, SCRIPT_NAME: '/a.pl\0/x' }, path],
      [{ DOCUMENT_ROOT: root, SCRIPT_NAME: '/sub/../a.pl' }, path],
      [{ DOCUMENT_ROOT: root, SCRIPT_NAME: '/../outside/d.pl' }, path],
      [{ DOCUMENT_ROOT: root, SCRIPT_NAME: '/a.pl/../x' }, path],
    ];
    for (const [params, reason] of reasons) {
      const { status, text } = await refused(params);
      assert.deepEqual(
        [status, Buffer.from(text, 'latin1').toString()],
        [404, reason],
        JSON.stringify(params),
      );
    }
    assert.equal((await refused({ DOCUMENT_ROOT: `${root}\0`, SCRIPT_NAME: '/a.pl' })).status, 404);
  });

  it('refuses with 404 a request that names no script at all', async () => {
    const reason = 'The web server sent neither SCRIPT_FILENAME nor DOCUMENT_ROOT and SCRIPT_NAME.';
    for (const params of [{}, { SCRIPT_NAME: '/a.pl' }, { DOCUMENT_ROOT: root }, { SCRIPT_FILENAME: '' }]) {
      const { status, text } = await refused(params);
      assert.deepEqual([status, text], [404, reason]);
    }
  });

  it('refuses a PATH_INFO with NUL rather than run the script without it', async () => {
    for (const PATH_INFO of ['/a\0b', '/\xff\0b']) {
      const { stdout } = await ask(served.socket, { SCRIPT_FILENAME: `${root}/a.pl`, PATH_INFO });
      assert.equal(page(stdout).status, 400);
      assert.match(stdout, /PATH_INFO contains a NUL byte/);
    }
  });

  it('does not start without a directory, and says so', async () => {
    for (const absent of [join(base, 'absent'), join(root, 'a.pl')]) {
      const { status, stderr } = await runBridge(['dir', '--listen', join(base, 's'), '--root', absent]);
      assert.equal(status, 1);
      assert.match(stderr, /^fcgi2cgi: --root .*: there is no such directory\n$/);
    }
  });
});
