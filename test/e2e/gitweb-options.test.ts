/** No value of a request becomes an option of git's, whatever runs gitweb: seen at git's command lines themselves. */

import assert from 'node:assert/strict';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, beforeEach, describe, it } from 'node:test';

import { type Answer, ask } from '../helpers/ask.js';
import { git, makeBareRepository } from '../helpers/git.js';
import { gitweb, gitwebChecks } from '../helpers/gitweb-hosts.js';
import { type Asked, serve, serveHere } from '../helpers/served.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { isFull } from '../helpers/webserver-table.js';

const actions = [
  ...['blame', 'blame_data', 'blame_incremental', 'blob', 'blob_plain', 'blobdiff', 'blobdiff_plain'],
  ...['commit', 'commitdiff', 'commitdiff_plain', 'heads', 'history', 'log', 'object', 'patch', 'patches'],
  ...['atom', 'rss', 'search', 'shortlog', 'snapshot', 'summary', 'tag', 'tags', 'tree'],
];
const revisions = ['h', 'hp', 'hb', 'hpb'];
const others = ['f', 'fp', 's', 'st', 'sr', 'o', 'opt', 'pg', 'sf', 'ds', 'by_tag', 'js', 'pf', 'a'];

/** A revision of each kind and a file, so that every page is made as far as can be. */
const rest = { a: 'shortlog', f: 'a', h: 'main', hb: 'main', hpb: 'before' } as const;

let directory: string;
/** What git was given, one JSON array a line. */
let commandLines: string;

before(async () => {
  directory = await temporaryDirectory();
  const one = join(directory, 'repos/one.git');
  const work = await makeBareRepository(one, {
    a: 'a\n',
    '-n': 'a file with a dash\n',
    '*': 'a star\n',
    'a@{1}': 'at\n',
    'page.html': '<script>1</script>\n',
  });
  await writeFile(join(work, 'a'), 'b\n');
  await git(['commit', '-q', '-a', '-m', 'Second'], work);
  await git(['checkout', '-q', '-b', 'side', 'main~1'], work);
  await git(['commit', '-q', '--allow-empty', '-m', 'Aside'], work);
  await git(['checkout', '-q', 'main'], work);
  await git(['merge', '-q', '--no-edit', 'side'], work);
  await git(['config', 'core.logAllRefUpdates', 'true'], one);
  await git(['push', '-q', one, 'main', 'main:modules/x', 'main~1:refs/heads/before'], work);
  await git(['update-ref', 'ORIG_HEAD', 'main~1'], one);
  commandLines = join(directory, 'lines');
  const fake = join(directory, 'git');
  await writeFile(
    fake,
    `#!/bin/sh\n{ printf '%s\\001' "$@"; printf '\\002'; } >>${commandLines}\necho "$GIT_LITERAL_PATHSPECS$GIT_NO_LAZY_FETCH" >>${commandLines}.env\nexec git "$@"\n`,
  );
  await chmod(fake, 0o755);
  await writeFile(
    join(directory, 'own.conf'),
    `$GIT = '${fake}'; $feature{blame}{default} = [1]; $feature{pathinfo}{default} = [1];
     $projectroot = '${directory}/repos' if !ref $projectroot; $maxload = undef; 1;`,
  );
});

beforeEach(() => writeFile(commandLines, ''));

/** What options git has had that say "evil", wherever a request may have put them. */
async function evilOptions(): Promise<string[]> {
  const lines = (await readFile(commandLines, 'latin1')).split('\x02');
  return lines.flatMap((line) => {
    const args = line.split('\x01');
    const end = args.indexOf('--');
    return args
      .slice(0, end === -1 ? undefined : end)
      .filter((arg) => arg.startsWith('-') && !/^--(?:grep|author|committer)=|^-S/.test(arg))
      .filter((arg) => arg.includes('evil'));
  });
}

const get = (
  { socket }: Asked,
  path: string,
  query: string,
  params: Readonly<Record<string, string>> = {},
  body = '',
): Promise<Answer> =>
  ask(
    socket,
    {
      ...{ SCRIPT_NAME: '', PATH_INFO: path, QUERY_STRING: query, REQUEST_METHOD: 'GET' },
      ...{ SERVER_NAME: 'git.example.org', SERVER_PORT: '80', HTTP_HOST: 'git.example.org' },
      ...params,
    },
    body,
  );

const status = ({ stdout }: Answer): string => /^Status: (\d+)/.exec(stdout)?.[1] ?? '200';

const queryOf = (values: Readonly<Record<string, string>>): string =>
  Object.entries(values)
    .map(([name, value]) => `${name}=${value}`)
    .join(';');

const kinds = {
  'the site git': () => ['git', '--export-all', '--repos', join(directory, 'repos')],
  'the site git, warm,': () => [
    'git',
    '--export-all',
    '--repos',
    join(directory, 'repos'),
    '--runner',
    'warm',
  ],
  'gitweb under worker': () => [
    ...['worker', '--workers', '2', '--env', `GITWEB_CONFIG=${join(directory, 'own.conf')}`],
    ...['--env', `GITWEB_CONFIG_COMMON=${gitwebChecks}`, '--', gitweb, '--fcgi'],
  ],
};

for (const [kind, command] of Object.entries(kinds)) {
  describe(`A request to ${kind}`, { timeout: 300_000 }, () => {
    let served: Asked;
    /**
     * All of it by a fork server. By new processes, which take long, some: gitweb has the same checks there, and under
     * worker, where a process ends with what it refuses.
     */
    const turn = Object.keys(kinds).indexOf(kind);
    const own = <T>(all: readonly T[]): readonly T[] =>
      all.filter((_, index) => isFull || kind === 'the site git, warm,' || index % 5 === turn);
    before(async () => {
      const [name = '', ...args] = command();
      const config = ['--gitweb-config', join(directory, 'own.conf')];
      served = name === 'git' ? await serveHere([name, ...config, ...args]) : await serve([name, ...args]);
      if (!args.includes('warm')) return;
      await get(served, '/', 'a=project_index');
      await served.logged(/fork server is ready/);
    });

    it('is refused with 400 where a revision begins with a dash, in the query, whatever the page', async () => {
      const values = [`--output=${directory}/evil`, '%2Devil', '%u002devil'];
      const queries = actions.map((action, index) => {
        const evil = values[index % values.length] ?? '';
        return queryOf({
          p: 'one.git',
          ...rest,
          a: action,
          [revisions[index % revisions.length] ?? '']: evil,
        });
      });
      await Promise.all(
        own(queries).map(async (query) => {
          assert.equal(status(await get(served, '/', query)), '400', query);
        }),
      );
      for (const query of [
        `h=${values[0] ?? ''}`,
        `p=one.git&%68=-evil`,
        'p=one.git;h=-evil;h=main',
        'p=one.git;a=shortlog;hp=--cc',
        'p=one.git;a=patches;hp=-c',
        'p=one.git;a=search;st=grep;s=-fevil',
        'p=one.git;a=search;st=grep;s=%2d-open-files-in-pager=evil',
      ]) {
        const answer = await get(served, '/', query);
        assert.equal(status(answer), '400', query);
        assert.match(answer.stdout, /dash/, query);
        if (kind === 'gitweb under worker') assert.match(answer.stderr, /^gitweb refused a request: The /m);
        // No link of the page has it, either.
        if (!query.includes('st=grep')) assert.doesNotMatch(answer.stdout, /evil|hp=-/, query);
      }
      assert.deepEqual(await evilOptions(), []);
    });

    it('is refused so in the path, too', async () => {
      for (const path of own([
        ...['/-evil', '//-evil', '/commit/-evil', '/commit//--output=evil', '/shortlog/-evil..main'],
        ...['/snapshot/-evil.tgz', '/blob/-evil:/a', '/blobdiff/-evil:/a..main:/a', '/tree/-evil'],
        ...['/commitdiff/--ccevil..main', '/log/--cc..main', '/blobdiff/main:/a..-evil:/a'],
      ])) {
        assert.equal(status(await get(served, `/one.git${path}`, '')), '400', path);
      }
      assert.deepEqual(await evilOptions(), []);
    });

    it('gives git no option by any other parameter, nor by a form', async () => {
      const search = { p: 'one.git', ...rest, a: 'search', st: 'commit', s: 'xx' };
      await Promise.all(
        own(others).map((name) => get(served, '/', queryOf({ ...search, [name]: '--output=evil' }))),
      );
      const form = 'p=one.git;a=commit;h=--output=evil';
      const type = 'application/x-www-form-urlencoded';
      const posted = { REQUEST_METHOD: 'POST', CONTENT_TYPE: type, CONTENT_LENGTH: String(form.length) };
      assert.match(status(await get(served, '/', '', posted, form)), /^40[05]$/);
      const part = (name: string, value: string): string =>
        `--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`;
      const parts = `${part('p', 'one.git')}${part('a', 'commit')}${part('h', '--output=evil')}--b--\r\n`;
      const multipart = {
        CONTENT_TYPE: 'multipart/form-data; boundary=b',
        CONTENT_LENGTH: String(parts.length),
      };
      assert.match(status(await get(served, '/', '', { ...posted, ...multipart }, parts)), /^40[05]$/);
      await get(served, '/one.git', '', { REDIRECT_QUERY_STRING: 'a=commit;h=--output=evil' });
      assert.deepEqual(await evilOptions(), []);
    });

    it('is refused with 404 where a revision is one that clones can’t have', async () => {
      const past = ['HEAD@{1}', 'main@{0}', 'main@{yesterday}', '@{-1}', 'main@{u}', 'refs/heads/main@{0}'];
      const left = [
        'ORIG_HEAD',
        'AUTO_MERGE',
        'BISECT_START',
        'sequencer/head',
        'worktrees/w/HEAD',
        'rebase-merge/orig-head',
      ];
      const asked = [...past, ...left].flatMap((value, index) => [
        ['/', queryOf({ p: 'one.git', ...rest, [revisions[index % revisions.length] ?? '']: value })],
        [`/one.git/blob_plain/${value}:/a`, ''],
        [`/one.git/blobdiff/${value}:/a..main:/a`, ''],
        [`/one.git/snapshot/${value}.tgz`, ''],
        [`/one.git/${value}`, ''],
      ]);
      for (const [path = '', query = ''] of own(asked)) {
        const answer = await get(served, path, query);
        assert.match(answer.stdout, /^Status: 404 [^]*past; name a branch/, path + query);
      }
      for (const path of ['tree/HEAD', 'tree/refs/heads/modules/x', 'shortlog/@', 'blob_plain/main:/a@{1}'])
        assert.match(status(await get(served, `/one.git/${path}`, '')), /^200$/, path);
    });

    it('is refused with 403 where it searches by a regular expression, whose cost nobody can tell', async () => {
      await Promise.all(
        own(['commit', 'author', 'committer', 'grep', 'pickaxe', '']).map(async (type) => {
          const project = type === '' ? '' : 'p=one.git;a=search;';
          const { stdout } = await get(served, '/', `${project}st=${type};sr=1;s=((xx%7B1,100%7D)%7B1,60%7D`);
          assert.match(stdout, /^Status: 403 [^]*Search by regular expressions is disabled/, type);
          assert.doesNotMatch(stdout, /name="sr"/);
        }),
      );
    });

    it('gets no file of a repository’s as a page that runs in its reader’s browser', async () => {
      const { stdout } = await get(served, '/one.git/blob_plain/main:/page.html', '');
      assert.match(stdout, /^Content-Type: text\/plain/im);
    });

    it('does not choose by X-Forwarded-Host where links lead', async () => {
      const forwarded = { HTTP_X_FORWARDED_HOST: 'evil.example.org' };
      for (const query of ['a=opml', 'p=one.git;a=rss']) {
        for (let count = 0; count < 3; count++) {
          const { stdout } = await get(served, '/', query, forwarded);
          assert.match(stdout, /http:\/\/git\.example\.org\//, query);
          assert.doesNotMatch(stdout, /evil/, query);
        }
      }
    });

    it('may ask for merges as gitweb’s own links do, and for files and texts that begin with a dash', async () => {
      for (const [path, query, expected] of [
        ['/', 'p=one.git;a=commitdiff;h=main;hp=--cc', /compact|combined/],
        ['/', 'p=one.git;a=commitdiff;h=main;hp=-c', /compact|combined/],
        ['/', 'p=one.git;a=commitdiff_plain;h=main;hp=-c', /^From: /m],
        ['/one.git/commitdiff/-c..main', '', /compact|combined/],
        ['/one.git/blob_plain/main:/-n', '', /a file with a dash/],
        ['/', 'p=one.git;a=history;hb=main;f=-n', /First commit/],
        ['/', 'p=one.git;a=search;st=commit;s=--x', /No match/],
        ['/', 'p=one.git;a=search;st=pickaxe;s=--x', /pickaxe search/],
        ['/', 'p=one.git;a=search;st=grep;s=with', /grep_search/],
      ] as const) {
        const answer = await get(served, path, query);
        assert.equal(status(answer), '200', path + query);
        assert.match(answer.stdout, expected, path + query);
      }
      const star = await get(served, '/', 'p=one.git;a=history;hb=main;f=*');
      assert.doesNotMatch(star.stdout, /Second/, 'a name is no pattern');
      assert.match(await readFile(`${commandLines}.env`, 'utf8'), /^(?:11\n)+$/);
    });
  });
}
