import assert from 'node:assert/strict';
import { realpath, writeFile } from 'node:fs/promises';
import { before, describe, it } from 'node:test';

import { fixture } from '../../helpers/bridge.js';
import { makeBareRepository } from '../../helpers/git.js';
import { runHere } from '../../helpers/run-here.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

let file: string;
before(async () => {
  file = `${await temporaryDirectory()}/sites.toml`;
  await writeFile(
    file,
    `[site.cgi]\nkind = "dir"\nroot = "${fixture('cgi')}"\nlisten = "/a"\n[site.one]\nkind = "script"\nfile = "/bin/true"\nlisten = "/b"\n`,
  );
});

describe('fcgi2cgi explain', () => {
  it('says what a site of a file would run, or of a command line', async () => {
    const named = await runHere(['explain', '--config', file, '--site', 'one', '--', '/x?y']);
    assert.deepEqual([named.status, named.stderr], [0, '']);
    assert.match(named.stdout, /^runs {8}\/bin\/true\n.*^param {7}QUERY_STRING=y$/ms);
    const args = ['explain', 'script', '/bin/true', 'first', '--env', 'A=1', '--', '-x', '/path'];
    const described = await runHere(args);
    assert.equal(described.status, 0, described.stderr);
    assert.match(described.stdout, /^argument {4}first\nargument {4}-x\n.*^env {9}A=1\n/ms);
    assert.match(described.stdout, /REQUEST_URI=\/path$/m);
  });

  it('says what refuses, also to machines', async () => {
    const args = ['explain', 'dir', '--root', fixture('cgi'), '--param', 'SCRIPT_FILENAME=/bin/sh', '--json'];
    const { status, stdout } = await runHere([...args, '--', '/']);
    assert.equal(status, 3);
    const { kind, status: http, detail } = JSON.parse(stdout) as Record<string, unknown>;
    assert.deepEqual([kind, http], ['refuses', 403]);
    assert.match(String(detail), /lies outside --root$/);
  });

  it('knows of a git site what is gitweb’s, what is git’s, what is a file, and what is nobody’s', async () => {
    const repos = await realpath(await temporaryDirectory());
    await makeBareRepository(`${repos}/one.git`, { a: 'a\n' });
    await makeBareRepository(`${repos}/hidden.git`, { a: 'a\n' }, { exported: false });
    const explained = async (path: string): Promise<{ status: number | null; lines: string[] }> => {
      const { status, stdout } = await runHere(['explain', 'git', '--repos', repos, '--', path]);
      return { status, lines: stdout.split('\n') };
    };
    const page = await explained('/one.git/log?h=main');
    assert.equal(page.status, 0);
    assert.match(page.lines[0] ?? '', /^runs {8}\/.*\/gitweb\.cgi$/);
    assert.ok(page.lines.includes(`directory   ${repos}`), page.lines.join('\n'));
    assert.ok(page.lines.includes('site        PATH_INFO=/one.git/log'), page.lines.join('\n'));
    assert.ok(page.lines.includes('param       QUERY_STRING=h=main'), page.lines.join('\n'));
    const service = await explained('/one.git/info/refs?service=git-upload-pack');
    assert.equal(service.status, 0);
    assert.match(service.lines[0] ?? '', /^runs {8}\/.*\/git-http-backend$/);
    const translated = `site        PATH_TRANSLATED=${repos}/one.git/info/refs`;
    assert.ok(service.lines.includes(translated), service.lines.join('\n'));
    const file = await explained('/index.fcgi/static/gitweb.css');
    assert.equal(file.status, 0);
    assert.match(file.lines[0] ?? '', /^answers {5}200 OK, with \d+ bytes of its own$/);
    assert.ok(file.lines.includes('field       Content-Type: text/css; charset=utf-8'));
    for (const path of ['/hidden.git/log', '/hidden.git/info/refs', '/none.git']) {
      const refused = await explained(path);
      assert.equal(refused.status, 3);
      const [line] = refused.lines;
      assert.equal(line, 'refuses     404 Not Found: No repository is published at this address.', path);
    }
  });

  it('is wrong usage without a path, a site or what the site needs, or with another kind’s option', async () => {
    for (const [args, line] of [
      [['explain', '--config', file], /the path to explain is missing; it comes last, after --/],
      [['explain', '--', '/'], /--config is missing/],
      [['explain', '--config', file, '--', '/'], /--site is missing; expected one of cgi, one/],
      [['explain', '--config', file, '--site', 'x', '--', '/'], /--site x: there is no such site/],
      [['explain', 'dir', '--', '/'], /--root is missing; dir needs it/],
      [['explain', 'dir', '--root', '/', '--repos', '/', '--', '/'], /--repos is no option of dir/],
    ] as const) {
      const { status, stderr } = await runHere(args);
      assert.equal(status, 2, stderr);
      assert.match(stderr, line);
    }
  });
});
