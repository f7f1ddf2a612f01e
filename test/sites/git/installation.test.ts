import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { chmod, copyFile } from 'node:fs/promises';
import { before, describe, it } from 'node:test';

import { findGit } from '../../../src/sites/git/installation.js';
import { makeTree } from '../../helpers/file-tree.js';
import { succeed } from '../../helpers/command.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

const GITWEB = '/usr/share/gitweb/gitweb.cgi';
let directory: string;

before(async () => {
  directory = await temporaryDirectory();
});

/** A program of that name with these lines; gives its path. */
async function program(name: string, ...lines: readonly string[]): Promise<string> {
  await makeTree(directory, { [name]: { content: [...lines, ''].join('\n'), mode: 0o755 } });
  return `${directory}/${name}`;
}

describe('Git is found', () => {
  it('by its name, with its backend, gitweb and the files of that', async () => {
    const found = await findGit('git', undefined);
    for (const path of Object.values<string>({ ...found }))
      assert.ok(path.startsWith('/') && existsSync(path), path);
    assert.match(await succeed(found.git, ['--version']), /^git version /);
    assert.ok(existsSync(`${found.gitwebStatic}/git-logo.png`));
  });

  it('with the gitweb that is named, and the files beside it', async () => {
    await makeTree(directory, {
      'own/gitweb.css': { content: 'x' },
      'own2/static/gitweb.css': { content: 'x' },
      own3: 'directory',
    });
    for (const [place, files] of [
      ['own', `${directory}/own`],
      ['own2', `${directory}/own2/static`],
      ['own3', '/usr/share/gitweb/static'],
    ] as const) {
      const gitweb = `${directory}/${place}/gitweb.cgi`;
      await copyFile(GITWEB, gitweb);
      await chmod(gitweb, 0o755);
      const found = await findGit('git', gitweb);
      assert.deepEqual([found.gitweb, found.gitwebStatic], [gitweb, files]);
    }
  });
});

describe('Git is not found, and the error says what to do,', () => {
  const rejects = (git: string, gitweb: string | undefined, message: RegExp): Promise<void> =>
    assert.rejects(findGit(git, gitweb), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'ERR_GIT');
      assert.match(error.message, message);
      assert.ok(!error.message.includes('\n'), error.message);
      return true;
    });

  it('where there is no such program, or one that is not git', async () => {
    await rejects(
      '/missing',
      undefined,
      /^--git \/missing: there is no such program; install git or name it/,
    );
    const nonsense = await program('nonsense', '#!/bin/sh', 'echo hello');
    await rejects(nonsense, undefined, /names no directory \(it said "hello"\)$/);
    const failing = await program('failing', '#!/bin/sh', 'echo no >&2', 'exit 3');
    await rejects(failing, undefined, /^--git .*failing: .*no$/);
  });

  it('where it lacks git-http-backend', async () => {
    const partial = await program('partial', '#!/bin/sh', `echo ${directory}`);
    await rejects(partial, undefined, /there is no .*\/git-http-backend; install all of git/);
  });

  it('where there is no gitweb, or one that can’t be run', async () => {
    await rejects('git', '/missing', /^--gitweb \/missing: not an executable file/);
    const gitweb = await program('no-perl.cgi', `#!${directory}/perl`, '');
    await rejects('git', gitweb, /no-perl\.cgi: there is no .*\/perl, which its first line names$/);
  });

  it('where gitweb’s Perl lacks the module CGI', async () => {
    const perl = await program(
      'perl-without',
      '#!/bin/sh',
      'echo "Can\'t locate CGI.pm in @INC" >&2; exit 2',
    );
    const gitweb = await program('without.cgi', `#!${perl}`, '');
    await rejects('git', gitweb, /perl-without, has no module CGI; install it \(Debian: libcgi-pm-perl\)$/);
    const broken = await program('perl-broken', '#!/bin/sh', 'echo "Out of memory" >&2; exit 2');
    const other = await program('broken.cgi', `#!${broken}`, '');
    await rejects('git', other, /perl-broken, can't load CGI: Out of memory$/);
    assert.ok(await findGit('git', await program('env.cgi', '#!/usr/bin/env perl', '')));
  });
});
