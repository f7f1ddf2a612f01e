import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';

import { fromText } from '../../../src/base/bytes.js';
import { realPath } from '../../../src/sites/contain.js';
import type { HgSiteOptions } from '../../../src/sites/hg/hg-site.js';
import { empty, makeTree } from '../../helpers/file-tree.js';
import { askSite, type HgInvocation } from '../../helpers/hg-invocation.js';
import { somebody } from '../../helpers/somebody.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

let root: string;

beforeEach(async () => {
  root = (await realPath(fromText(await temporaryDirectory()))) ?? '';
  await makeTree(root, {
    'repos/a/.hg': 'directory',
    'repos/group/b/.hg': 'directory',
    'repos/caf\xe9/.hg': 'directory',
    'repos/hidden/.hg': 'directory',
    'www/a.hg': empty,
    'www/group/b.hg': empty,
    'www/caf\xe9.hg': empty,
    'www/index.fcgi': empty,
  });
});

type Params = Readonly<Record<string, string>>;

const ask = (params: Params, options: Partial<HgSiteOptions> = {}): Promise<HgInvocation | string> =>
  askSite({ repos: `${root}/repos`, markers: `${root}/www`, ...options }, params);

async function runs(params: Params, options: Partial<HgSiteOptions> = {}): Promise<HgInvocation> {
  const answer = await ask(params, options);
  if (typeof answer === 'string') assert.fail(`${JSON.stringify(params)}: ${answer}`);
  return answer;
}

async function refused(params: Params, options: Partial<HgSiteOptions> = {}): Promise<string> {
  const answer = await ask(params, options);
  return typeof answer === 'string' ? answer : `it runs hgweb for ${answer.args.join(' ')}`;
}

const split = ({ args, scriptName, pathInfo }: HgInvocation): unknown => [args[0], scriptName, pathInfo];

describe('A repository’s address', () => {
  it('is split the same however the web server has split it', async () => {
    const expected = [`${root}/repos/group/b`, '/group/b.hg', '/file/tip/'];
    for (const params of [
      { SCRIPT_NAME: '/group/b.hg', PATH_INFO: '/file/tip/' },
      { SCRIPT_NAME: '/group/b.hg/file/tip/', PATH_INFO: '' },
      { SCRIPT_NAME: '/group/b.hg/file/tip/' },
      { SCRIPT_NAME: '', PATH_INFO: '/group/b.hg/file/tip/' },
      { SCRIPT_NAME: '', DOCUMENT_URI: '/group/b.hg/file/tip/' },
      { REQUEST_URI: '/group/b.hg/f%69le/tip/?style=raw' },
      { SCRIPT_NAME: '//group/b.hg', PATH_INFO: '/file/tip/' },
    ]) {
      assert.deepEqual(split(await runs(params)), expected, JSON.stringify(params));
    }
  });

  it('has a PATH_INFO that is empty or a slash at its root, as it came: clone asks there', async () => {
    assert.deepEqual(split(await runs({ SCRIPT_NAME: '/a.hg' })), [`${root}/repos/a`, '/a.hg', '']);
    assert.deepEqual(split(await runs({ SCRIPT_NAME: '/a.hg/' })), [`${root}/repos/a`, '/a.hg', '/']);
  });

  it('keeps trailing slashes, repeated ones and every octet behind the repository', async () => {
    const rest = '/raw-file/tip//caf\xe9/%41/a\nb/';
    assert.equal((await runs({ SCRIPT_NAME: `/a.hg${rest}` })).pathInfo, rest);
  });

  it('gives hgweb the repository’s name without the suffix, and with it', async () => {
    assert.deepEqual((await runs({ SCRIPT_NAME: '/group/b.hg' })).args, [
      `${root}/repos/group/b`,
      'group/b',
      'group/b.hg',
    ]);
  });

  it('may be octets that are not UTF-8', async () => {
    const { args, scriptName } = await runs({ SCRIPT_NAME: '/caf\xe9.hg/log' });
    assert.deepEqual([args, scriptName], [[`${root}/repos/caf\xe9`, 'caf\xe9', 'caf\xe9.hg'], '/caf\xe9.hg']);
  });

  it('begins behind the URL prefix, and is none without it', async () => {
    for (const urlPrefix of ['/hg', '/x/hg']) {
      const params = { SCRIPT_NAME: urlPrefix, PATH_INFO: '/a.hg/log' };
      assert.deepEqual(split(await runs(params, { urlPrefix })), [
        `${root}/repos/a`,
        `${urlPrefix}/a.hg`,
        '/log',
      ]);
      for (const path of ['/a.hg/log', `${urlPrefix}a.hg`, `${urlPrefix}a/a.hg`, '/', '/x']) {
        assert.match(await refused({ SCRIPT_NAME: path }, { urlPrefix }), /^404 /, path);
      }
    }
  });

  it('may lead to a file of the index’s name inside the repository', async () => {
    const { args, pathInfo } = await runs({ SCRIPT_NAME: '/a.hg', PATH_INFO: '/file/tip/index.fcgi' });
    assert.deepEqual([args[0], pathInfo], [`${root}/repos/a`, '/file/tip/index.fcgi']);
    assert.equal(
      (await runs({ SCRIPT_NAME: '/a.hg/file/tip/index.fcgi/static/x' })).args[0],
      `${root}/repos/a`,
    );
  });

  it('is found without the suffix, and links to the whole name', async () => {
    const { args, scriptName, pathInfo } = await runs({ SCRIPT_NAME: '/a', PATH_INFO: '/log' });
    assert.deepEqual([args[0], scriptName, pathInfo], [`${root}/repos/a`, '/a.hg', '/log']);
  });

  it('is not found for what is not published, nor for a path that no web server should pass on', async () => {
    for (const path of [
      '/hidden.hg',
      '/hidden',
      '/none',
      '/none.hg/log',
      '/.hg',
      '/group%2Fb.hg',
      '/a.hg\0',
    ]) {
      assert.match(await refused({ SCRIPT_NAME: path }), /^404 /, path);
    }
    for (const path of ['/../a.hg', '/group/../a.hg', '/./a.hg', '/a.hg/file/../log', '/a.hg/\0']) {
      assert.match(await refused({ SCRIPT_NAME: path }), /^404 /, path);
    }
    assert.match(await refused({ REQUEST_URI: '/group/%2e%2e/a.hg' }), /^404 /);
  });

  it('is a bad request where the web server has sent no path at all', async () => {
    assert.match(await refused({}), /^400 .*SCRIPT_NAME.*REQUEST_URI/);
  });
});

describe('A subrepository', () => {
  it('is at the address of what it belongs to, with a name that has no suffix', async () => {
    await makeTree(root, { 'repos/a/sub/.hg': 'directory', 'www/a/sub.hg': empty });
    const { args, scriptName, pathInfo } = await runs({ SCRIPT_NAME: '/a.hg/sub/log' });
    assert.deepEqual(args, [`${root}/repos/a/sub`, 'a/sub', 'a.hg/sub']);
    assert.deepEqual([scriptName, pathInfo], ['/a.hg/sub', '/log']);
  });
});

describe('A bundle beside the markers', () => {
  it('is sent as it is, and a marker is none', async () => {
    await makeTree(root, { 'www/full.hg': { content: 'a bundle' } });
    const { what, args } = await runs({ SCRIPT_NAME: '/full.hg' });
    assert.deepEqual([what, args], ['bundle', [`${root}/www/full.hg`]]);
    assert.match(await refused({ SCRIPT_NAME: '/full.hg/log' }), /^404 /);
  });
});

describe('hgweb’s environment', () => {
  const steered = {
    PATH_INFO: '/log',
    REPO_NAME: 'evil',
    HG: '/evil',
    HGRCPATH: '/evil',
    HGPLAIN: '1',
    HGENCODING: 'latin1',
    FCGI2CGI_HG_MODULES: '/evil/mercurial',
    FCGI2CGI_HGWEB_CONFIG: '/evil/hgrc',
    HTTP_EXPECT: '100-continue',
    PYTHONPATH: '/evil',
    HTTP_PROXY: 'http://evil',
  };

  it('is what the site says, whatever params come', async () => {
    const { variables } = await runs({ SCRIPT_NAME: '/a.hg', ...steered }, { trustRemoteUser: true });
    assert.deepEqual(variables, {
      GATEWAY_INTERFACE: 'CGI/1.1',
      REQUEST_METHOD: 'GET',
      PATH: '/bin',
      SCRIPT_NAME: '/a.hg',
      PATH_INFO: '/log',
      HGENCODING: 'UTF-8',
      FCGI2CGI_HG_MODULES: '/usr/lib/mercurial',
    });
  });

  it('has the user’s own settings where there are some', async () => {
    const { variables } = await runs(
      { SCRIPT_NAME: '/a.hg', ...steered },
      { hgwebConfig: '/etc/hgweb.config' },
    );
    assert.equal(variables['FCGI2CGI_HGWEB_CONFIG'], '/etc/hgweb.config');
  });

  it('has the params that decide about pushes and links', async () => {
    const params = {
      HTTPS: 'on',
      SERVER_NAME: 'h',
      SERVER_PORT: '443',
      HTTP_X_HGARG_1: 'x',
    };
    const { variables } = await runs({ SCRIPT_NAME: '/a.hg', ...params });
    for (const [name, value] of Object.entries(params)) assert.equal(variables[name], value);
  });

  it('has nobody’s name, and can’t be a push, unless the web server is trusted', async () => {
    const params = { SCRIPT_NAME: '/a.hg', REQUEST_METHOD: 'POST', ...somebody };
    const { variables } = await runs(params);
    assert.deepEqual(
      Object.values(variables).filter((value) => value === 'ann'),
      [],
    );
    assert.match(variables['FCGI2CGI_NO_PUSHES'] ?? '', /--trust-remote-user/);
    const trusting = { trustRemoteUser: true };
    const trusted = (await runs(params, trusting)).variables;
    for (const [name, value] of Object.entries(somebody)) assert.equal(trusted[name], value);
    assert.equal(trusted['FCGI2CGI_NO_PUSHES'], undefined);
    for (const QUERY_STRING of ['cmd=unbundle', 'x&cmd=pushkey&namespace=x']) {
      assert.match(await refused({ ...params, QUERY_STRING }), /^403 .*--trust-remote-user/);
      assert.equal((await runs({ ...params, QUERY_STRING }, trusting)).what, 'repository');
    }
    const hidden = { ...params, QUERY_STRING: 'cmd=%75nbundle' };
    assert.match(await refused(hidden), /^403 .*--trust-remote-user/);
    assert.match(await refused(hidden, trusting), /^400 /);
    assert.equal((await runs({ ...params, QUERY_STRING: 'cmd=getbundle' })).what, 'repository');
  });

  it('is the administrator’s in the end', async () => {
    const administrator = new Map([
      ['HGENCODING', 'latin1'],
      ['PYTHONPATH', '/ours'],
    ]);
    const { variables } = await runs({ SCRIPT_NAME: '/a.hg', ...steered }, { administrator });
    assert.equal(variables['HGENCODING'], 'latin1');
    assert.equal(variables['PYTHONPATH'], '/ours');
  });

  it('is used in the directory of repositories', async () => {
    assert.equal((await runs({ SCRIPT_NAME: '/a.hg' })).directory, `${root}/repos`);
  });
});

describe('A request with a body', () => {
  it('needs its length, since hgweb would fail', async () => {
    for (const REQUEST_METHOD of ['POST', 'PUT', 'post']) {
      const { what, body } = await runs({ SCRIPT_NAME: '/a.hg', REQUEST_METHOD });
      assert.deepEqual([what, body], ['repository', 'with-length']);
    }
  });

  it('is not meant where the method has none, or where nothing is published', async () => {
    for (const REQUEST_METHOD of ['GET', 'HEAD', 'OPTIONS', '']) {
      assert.equal((await runs({ SCRIPT_NAME: '/a.hg', REQUEST_METHOD })).body, 'as-it-comes');
    }
    assert.match(await refused({ SCRIPT_NAME: '/../a.hg', REQUEST_METHOD: 'POST' }), /^404 /);
  });
});
