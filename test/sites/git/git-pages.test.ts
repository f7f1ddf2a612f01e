import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';

import type { GitSiteOptions } from '../../../src/sites/git/git-site.js';
import { resolveRequest } from '../../../src/sites/site.js';
import { empty, makeTree } from '../../helpers/file-tree.js';
import { until } from '../../helpers/processes.js';
import { at, type GitTree, makeGitTree, steering } from '../../helpers/git-invocation.js';

let tree: GitTree;

beforeEach(async () => {
  tree = await makeGitTree();
});

const everything = [
  ['a.git', 'a.git'],
  ['group/b.git', 'group/b/.git'],
  ['group/caf\xe9.git', 'group/caf\xe9'],
];

describe('A page of a repository', () => {
  it('is gitweb’s, which knows of this repository and of no other', async () => {
    const shown = await tree.page(at('/group/b.git/log/main', 'pg=1'));
    assert.deepEqual(tree.told(shown), [['group/b.git', 'group/b/.git']]);
    assert.equal(shown.directory, `${tree.root}/repos`);
    const { PATH_INFO, QUERY_STRING, SCRIPT_NAME, REQUEST_URI } = shown.env;
    assert.deepEqual(
      [PATH_INFO, QUERY_STRING, SCRIPT_NAME, REQUEST_URI],
      ['/group/b.git/log/main', 'pg=1', '', ''],
    );
  });

  it('is asked for by the query too, which counts more than the path', async () => {
    for (const path of ['/', '/index.fcgi', '/a.git/log']) {
      const shown = await tree.page(at(path, 'a=summary;p=group/b.git;pg=1'));
      assert.deepEqual(tree.told(shown), [['group/b.git', 'group/b/.git']]);
      assert.deepEqual(
        [shown.env['PATH_INFO'], shown.env['QUERY_STRING']],
        ['/group/b.git', 'a=summary;pg=1'],
      );
    }
  });

  it('is none where the query names less or more than a repository', async () => {
    for (const project of ['', 'group', 'hidden.git', 'a.git/log', '../repos/a.git', 'a.git%00']) {
      assert.match(await tree.refused(at('/a.git', `p=${project}`)), /^404 /, project);
    }
  });

  it('is refused where git would take a revision for an option, whatever is asked for', async () => {
    const param = '400 The parameter h begins with a dash: it names no revision.';
    for (const path of ['/', '/index.fcgi', '/a.git', '/group/b.git/log', '/group']) {
      assert.equal(await tree.refused(at(path, 'a=log;h=--output=x')), param, path);
    }
    assert.equal(await tree.refused(at('/', 'p=a.git;h=-x')), param);
    assert.match(await tree.refused(at('/a.git/log/-x')), /^400 .*path/);
    await tree.page(at('/a.git/log/-x', 'p=a.git'));
  });

  it('is asked for by GET or HEAD; what else is allowed is said', async () => {
    await tree.page({ ...at('/a.git'), REQUEST_METHOD: 'HEAD' });
    await tree.page({ ...at('/a.git'), REQUEST_METHOD: '' });
    for (const path of ['/a.git', '/index.fcgi', '/a.git/index.fcgi/static/gitweb.css']) {
      const resolution = await tree.ask({ ...at(path), REQUEST_METHOD: 'POST' });
      assert.ok(resolution.kind === 'refuse', path);
      assert.deepEqual([resolution.refusal.status, resolution.refusal.allow], [405, 'GET, HEAD']);
    }
  });

  it('is not found, by whatever method, where nothing is published', async () => {
    for (const [path, query] of [
      ['/none.git/log', ''],
      ['/hidden.git', ''],
      ['/empty', ''],
      ['/a.git', 'p=hidden.git'],
      ['/index.fcgi/static/none.css', ''],
    ] as const) {
      const params = { ...at(path, query), REQUEST_METHOD: 'POST' };
      assert.match(await tree.refused(params), /^404 /, path);
    }
  });

  it('is found without the suffix, and links to the whole name', async () => {
    const { env } = await tree.page(at('/a/log'));
    assert.deepEqual([env['PATH_INFO'], env['FCGI2CGI_STATIC_URL']], ['/a.git/log', '/index.fcgi/static']);
  });

  it('has the address of its style below the uppermost index, or else below the repository itself', async () => {
    const of = async (path: string, options?: Partial<GitSiteOptions>): Promise<string | undefined> =>
      (await tree.page(at(path), options)).env['FCGI2CGI_STATIC_URL'];
    assert.equal(await of('/group/b.git'), '/index.fcgi/static');
    assert.equal(await of('/x/group/b.git', { urlPrefix: '/x' }), '/x/index.fcgi/static');
    await makeTree(tree.root, {
      'other/group/index.fcgi': empty,
      'other/group/b.git': empty,
      'other/group/caf\xe9.git': empty,
    });
    const inGroup = { publishedBy: { markers: `${tree.root}/other` } };
    assert.equal(await of('/group/b.git', inGroup), '/group/index.fcgi/static');
    await makeTree(tree.root, { 'none/group/caf\xe9.git': empty });
    const nowhere = { publishedBy: { markers: `${tree.root}/none` } };
    assert.equal(await of('/group/caf\xe9.git', nowhere), '/group/caf%E9.git/index.fcgi/static');
  });

  it('has a script name that would not have gitweb speak FastCGI', async () => {
    const { env } = await tree.page(at('/git.fcgi/a.git'), { urlPrefix: '/git.fcgi' });
    assert.deepEqual([env['SCRIPT_NAME'], env['SCRIPT_FILENAME']], ['/git.fcgi/', 'gitweb.cgi']);
    assert.equal(env['FCGI2CGI_URL_PREFIX'], '/git.fcgi');
  });

  it('has our settings, and the user’s own where there are some, whatever params come', async () => {
    const params = { ...at('/a.git'), ...steering, CONTENT_LENGTH: '5' };
    const { env } = await tree.page(params);
    for (const name of [
      'GIT_PROJECT_ROOT',
      'GIT_DIR',
      'FCGI2CGI_GITWEB_CONFIG',
      'HOME',
      'MOD_PERL',
      'REDIRECT_QUERY_STRING',
      'REDIRECT_REDIRECT_QUERY_STRING',
      'HTTP_X_FORWARDED_HOST',
    ]) {
      assert.equal(env[name], undefined, name);
    }
    assert.deepEqual(
      [env['GITWEB_CONFIG'], env['FCGI2CGI_GIT'], env['CONTENT_LENGTH']],
      ['/dev/null', '/bin/git', ''],
    );
    const own = await tree.page(params, { gitwebConfig: '/etc/own.conf' });
    assert.equal(own.env['FCGI2CGI_GITWEB_CONFIG'], '/etc/own.conf');
  });

  it('is refused where our settings have gone, and finds no others where they go at that moment', async () => {
    const refusal = await tree.refused(at('/a.git'), { gitwebSettings: '/nowhere' });
    assert.match(refusal, /^500 ENOENT.*\/nowhere.*; install fcgi2cgi again$/);
    assert.equal((await tree.page(at('/a.git'))).env['GITWEB_CONFIG_SYSTEM'], '/bin/sh');
  });

  it('is told the version of git, as soon as that is known', async () => {
    const site = await tree.site({ git: { ...tree.git, git: '/usr/bin/git' } });
    await until(async () => {
      const resolution = await resolveRequest(site, Object.entries({ ...at('/a.git'), ...steering }));
      const variables =
        resolution.kind === 'run' ? resolution.invocation.variables : new Map<string, string>();
      return /^\d+(:\d+){4} \d+\.\d/.test(variables.get('FCGI2CGI_GIT_VERSION') ?? '');
    });
  });
});

describe('The list of repositories', () => {
  it('has exactly what is published, at the site’s root and at index.fcgi', async () => {
    for (const path of ['', '/', '/index.fcgi', '/index.fcgi/']) {
      const list = await tree.page({ REQUEST_URI: path || '/', ...at(path, 'o=age') });
      assert.deepEqual(tree.told(list), everything, path);
      assert.deepEqual([list.env['PATH_INFO'], list.env['QUERY_STRING']], ['/', 'o=age'], path);
    }
  });

  it('is a part of it in a directory, by gitweb’s own filter, unless the query has one', async () => {
    for (const path of ['/group', '/group/', '/group/index.fcgi']) {
      const list = await tree.page(at(path, 'o=age'));
      assert.deepEqual(tree.told(list), everything.slice(1), path);
      assert.deepEqual([list.env['PATH_INFO'], list.env['QUERY_STRING']], ['/group', 'pf=group;o=age'], path);
    }
    assert.equal((await tree.page(at('/group'))).env['QUERY_STRING'], 'pf=group');
    for (const query of ['pf=x', 'o=age;pf=x', 'o=age&pf=x']) {
      assert.equal((await tree.page(at('/group', query))).env['QUERY_STRING'], query);
    }
  });

  it('is none where nothing is published, nor below the index', async () => {
    for (const path of [
      '/empty',
      '/empty/index.fcgi',
      '/nowhere',
      '/index.fcgi/a.git',
      '/index.fcgi/static',
    ]) {
      assert.match(await tree.refused(at(path)), /^404 /, path);
    }
  });

  it('is published by index.fcgi, and its refusal says so to the log', async () => {
    const publishedBy = { markers: `${tree.root}/www/group` };
    assert.match(
      await tree.refused(at('/'), { publishedBy }),
      /^404 there is no .*index.fcgi, an empty file that/,
    );
  });
});

describe('The files of gitweb’s pages', () => {
  /** Of an answer without a process. */
  async function answered(path: string): Promise<string> {
    const resolution = await tree.ask(at(path));
    return resolution.kind === 'answer' ? resolution.answer.body.toString() : `it would ${resolution.kind}`;
  }

  it('are found below every index and repository, published or not, and at the root for what links to none', async () => {
    for (const path of [
      '/index.fcgi/static',
      '/static',
      '/group/index.fcgi/static',
      '/a.git/index.fcgi/static',
    ]) {
      assert.equal(await answered(`${path}/gitweb.css`), 'style', path);
    }
    assert.equal(await answered('/favicon.ico'), 'image');
  });

  it('are no others, and no directories', async () => {
    for (const name of ['none.css', 'gitweb.css/x', '..', 'x/../gitweb.css']) {
      assert.match(await tree.refused(at(`/index.fcgi/static/${name}`)), /^404 /, name);
      assert.match(await tree.refused(at(`/a.git/index.fcgi/static/${name}`)), /^404 /, name);
    }
  });
});
