import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';

import { at, type GitTree, makeGitTree, steering } from '../../helpers/git-invocation.js';
import { somebody } from '../../helpers/somebody.js';

let tree: GitTree;

beforeEach(async () => {
  tree = await makeGitTree();
});

describe('A site of git repositories', () => {
  it('is not made without the directories that its options name', async () => {
    await assert.rejects(tree.ask({}, { repos: `${tree.root}/none` }), {
      code: 'ERR_START',
      message: /^--repos \S/,
    });
    const publishedBy = { markers: `${tree.root}/none` };
    await assert.rejects(tree.ask({}, { publishedBy }), { code: 'ERR_START', message: /^--markers \S/ });
  });

  it('refuses what is not published and what no web server should pass on', async () => {
    for (const path of [
      '/hidden.git',
      '/hidden',
      '/none.git/',
      '/.git',
      '/../a.git',
      '/group/../a.git',
      '/a.git\0',
    ]) {
      for (const rest of ['', '/info/refs'])
        assert.match(await tree.refused(at(path + rest)), /^404 /, path + rest);
    }
    assert.match(await tree.refused(at('/', 'p=a.git/log')), /^404 /, 'a project is a whole repository');
    assert.match(await tree.refused({}), /^400 .*SCRIPT_NAME.*REQUEST_URI/);
  });

  it('tells strangers no absolute paths of what a repository borrows from', async () => {
    assert.match(await tree.refused(at('/a.git/objects/info/alternates')), /^404 alternates tell paths/);
    await tree.service(at('/a.git/objects/info/http-alternates'));
  });

  it('refuses a query in which a web server may not see the service that git does', async () => {
    for (const query of ['servic%65=git-upload-pack', 'service=a&service=git-upload-pack']) {
      const reason = /^400 The query has service twice, or service or its value not in plain letters/;
      assert.match(await tree.refused(at('/a.git/info/refs', query)), reason);
      assert.equal((await tree.page(at('/a.git', query))).env['PATH_INFO'], '/a.git');
    }
  });

  it('refuses a push whose path a web server may not see it in', async () => {
    const options = { trustRemoteUser: true };
    const push = at('/a.git/git-receive-pack');
    for (const uri of [
      '/a.git/git%2Dreceive-pack',
      '/a.git%2Fgit-receive-pack',
      '/x?/git-receive-pack',
      '/x#/git-receive-pack',
    ]) {
      const refused = await tree.refused({ ...push, REQUEST_URI: uri }, options);
      assert.equal(refused, '400 The path does not end in /git-receive-pack in plain letters.', uri);
    }
    for (const uri of ['/%61.git/git-receive-pack', 'http://host/x/git-receive-pack?a#b', '']) {
      await tree.service({ ...push, REQUEST_URI: uri }, options);
    }
    await tree.service({ ...at('/a.git/git-upload-pack'), REQUEST_URI: '/a.git/git%2Dupload-pack' }, options);
  });

  it('walks the list only for requests that may run a process, unlike pages of one repository', async () => {
    const site = await tree.site();
    for (const [path, kind] of [
      ['/', 'defer'],
      ['/group', 'defer'],
      ['/a.git/', 'run'],
      ['/a.git/info/refs', 'run'],
    ] as const) {
      assert.equal((await site.resolve(Object.entries(at(path)))).kind, kind, path);
    }
  });

  it('begins behind its URL prefix, and is not found beside it', async () => {
    const options = { urlPrefix: '/git' };
    const { env } = await tree.service(at('/git/a.git/info/refs'), options);
    assert.equal(env['PATH_TRANSLATED'], `${tree.root}/repos/a.git/info/refs`);
    for (const path of ['/a.git/info/refs', '/gita.git/info/refs', '/gitx/a.git', '/']) {
      assert.match(await tree.refused(at(path), options), /^404 /, path);
    }
  });

  it('publishes with git-daemon-export-ok what has one, and with neither all that there are', async () => {
    const names = async (publishedBy: 'all' | 'export-ok'): Promise<string[]> =>
      tree.told(await tree.page(at('/'), { publishedBy })).map(([name = '']) => name);
    assert.deepEqual(await names('export-ok'), ['a.git']);
    assert.deepEqual(await names('all'), ['a.git', 'group/b', 'group/caf\xe9', 'hidden.git']);
    const publishedBy = 'export-ok';
    assert.match(await tree.refused(at('/hidden.git/info/refs'), { publishedBy }), /^404 /);
    assert.match(await tree.refused(at('/', 'p=hidden.git'), { publishedBy }), /^404 /);
  });
});

describe('A page of gitweb’s', () => {
  it('has no body, and its address from the site alone', async () => {
    const sent = { ...at('/a.git/log'), CONTENT_LENGTH: '7', REQUEST_URI: '/other.git' };
    const { env } = await tree.page(sent);
    assert.deepEqual([env['CONTENT_LENGTH'], env['REQUEST_URI']], ['', '']);
  });
});

describe('A request of git’s', () => {
  it('goes to git-http-backend with the repository’s own place, whatever its marker is called', async () => {
    for (const [path, place] of [
      ['/a.git/info/refs', 'a.git/info/refs'],
      ['/group/b.git/git-upload-pack', 'group/b/.git/git-upload-pack'],
      ['/group/caf\xe9.git/HEAD', 'group/caf\xe9/HEAD'],
    ] as const) {
      const { env, directory, args, input } = await tree.service(at(path));
      assert.equal(env['PATH_TRANSLATED'], `${tree.root}/repos/${place}`);
      assert.deepEqual([directory, args, input], [`${tree.root}/repos`, [], undefined]);
    }
  });

  it('may leave out the suffix, as git-http-backend takes it', async () => {
    const { env } = await tree.service(at('/a/info/refs'));
    assert.equal(env['PATH_TRANSLATED'], `${tree.root}/repos/a.git/info/refs`);
    assert.match(await tree.refused(at('/hidden/info/refs')), /^404 /);
    assert.match(await tree.refused(at('/group/info/refs')), /^404 /);
  });

  it('is refused with 501 where it is about LFS, which git-lfs understands', async () => {
    for (const [path, REQUEST_METHOD] of [
      ['/a.git/info/lfs/objects/batch', 'POST'],
      ['/a/info/lfs/objects/batch', 'POST'],
      ['/group/b.git//info/lfs/locks/verify', 'POST'],
      ['/a.git/info/lfs/locks', 'GET'],
    ] as const) {
      assert.match(await tree.refused({ ...at(path), REQUEST_METHOD }), /^501 .*lfs\.url/, path);
    }
    const batch = at('/hidden.git/info/lfs/objects/batch');
    assert.match(await tree.refused({ ...batch, REQUEST_METHOD: 'POST' }), /^404 /);
  });

  it('may have any method: what is allowed is for git to decide', async () => {
    for (const REQUEST_METHOD of ['GET', 'POST', 'DELETE']) {
      const params = { ...at('/a.git/git-upload-pack'), REQUEST_METHOD };
      assert.equal((await tree.service(params)).env['REQUEST_METHOD'], REQUEST_METHOD);
    }
  });

  it('is ended by the end of its input if it is a push, and by a signal else', async () => {
    const ends = ['git-receive-pack', 'git-upload-pack', 'info/refs'].map(async (name) => {
      return (await tree.service(at(`/a.git/${name}`), { trustRemoteUser: true })).terminatedBy;
    });
    assert.deepEqual(await Promise.all(ends), ['end-of-input', undefined, undefined]);
  });

  it('has the protocol that git asks for in a variable, empty where it asks for none', async () => {
    const params = at('/a.git/info/refs');
    const asked = await tree.service({ ...params, HTTP_GIT_PROTOCOL: 'version=2' });
    assert.equal(asked.env['GIT_PROTOCOL'], 'version=2');
    assert.equal((await tree.service(params)).env['GIT_PROTOCOL'], '');
  });

  it('has an environment that params can’t change, and the administrator can', async () => {
    const params = { ...at('/a.git/info/refs'), ...steering, REMOTE_USER: 'ann' };
    const expected = {
      GATEWAY_INTERFACE: 'CGI/1.1',
      REQUEST_METHOD: 'GET',
      PATH: '/bin',
      SCRIPT_NAME: '/a.git/info/refs',
      PATH_INFO: '',
      QUERY_STRING: '',
      REMOTE_USER: 'ann',
      PATH_TRANSLATED: `${tree.root}/repos/a.git/info/refs`,
      GIT_HTTP_EXPORT_ALL: '',
      GIT_PROTOCOL: '',
      GIT_CONFIG_COUNT: '2',
      GIT_CONFIG_KEY_0: 'safe.directory',
      GIT_CONFIG_VALUE_0: `${tree.root}/repos/a.git`,
      GIT_CONFIG_KEY_1: 'safe.directory',
      GIT_CONFIG_VALUE_1: '.',
    };
    assert.deepEqual((await tree.service(params, { trustRemoteUser: true })).env, expected);
    const administrator = new Map([
      ['GIT_CONFIG_COUNT', '0'],
      ['HOME', '/home/git'],
    ]);
    const { env } = await tree.service(params, { administrator });
    assert.deepEqual([env['GIT_CONFIG_COUNT'], env['HOME']], ['0', '/home/git']);
  });

  it('is nobody’s, and no push, unless the web server is trusted', async () => {
    const push = [at('/a.git/info/refs', 'service=git-receive-pack'), at('/a.git/git-receive-pack')];
    for (const params of push) {
      const known = { ...params, REMOTE_USER: 'ann' };
      assert.match(await tree.refused(known), /^403 .*--trust-remote-user/);
      const { env } = await tree.service(known, { trustRemoteUser: true });
      assert.equal(env['REMOTE_USER'], 'ann');
    }
    for (const run of [tree.service(withUser('/a.git/info/refs')), tree.page(withUser('/a.git/log'))]) {
      const { env } = await run;
      assert.deepEqual(
        Object.values(env).filter((value) => value === 'ann'),
        [],
      );
    }
  });
});

const withUser = (path: string): Readonly<Record<string, string>> => ({ ...at(path), ...somebody });
