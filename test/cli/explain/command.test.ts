import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { before, describe, it } from 'node:test';

import { fixture, runBridge } from '../../helpers/bridge.js';
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
    const named = await runBridge(['explain', '--config', file, '--site', 'one', '--', '/x?y']);
    assert.deepEqual([named.status, named.stderr], [0, '']);
    assert.match(named.stdout, /^runs {8}\/bin\/true\n.*^param {7}QUERY_STRING=y$/ms);
    const args = ['explain', 'script', '/bin/true', 'first', '--env', 'A=1', '--', '-x', '/path'];
    const described = await runBridge(args);
    assert.equal(described.status, 0, described.stderr);
    assert.match(described.stdout, /^argument {4}first\nargument {4}-x\n.*^env {9}A=1\n/ms);
    assert.match(described.stdout, /REQUEST_URI=\/path$/m);
  });

  it('says what refuses, also to machines', async () => {
    const args = ['explain', 'dir', '--root', fixture('cgi'), '--param', 'SCRIPT_FILENAME=/bin/sh', '--json'];
    const { status, stdout } = await runBridge([...args, '--', '/']);
    assert.equal(status, 3);
    const { kind, status: http, detail } = JSON.parse(stdout) as Record<string, unknown>;
    assert.deepEqual([kind, http], ['refuses', 403]);
    assert.match(String(detail), /lies outside --root$/);
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
      const { status, stderr } = await runBridge(args);
      assert.equal(status, 2, stderr);
      assert.match(stderr, line);
    }
  });
});
