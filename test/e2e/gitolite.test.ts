/** Debian's gitolite beside the git site, as fcgi2cgi-migrating(7) has it: who may read and push. */

import assert from 'node:assert/strict';
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';

import { commandLine } from '../helpers/bridge.js';
import { runToEnd, succeed } from '../helpers/command.js';
import { textOf } from '../helpers/documents.js';
import { git, tryGit } from '../helpers/git.js';
import { lacking } from '../helpers/release.js';
import { serve, type Served } from '../helpers/served.js';
import { temporaryDirectory } from '../helpers/temporary.js';

const shell = '/usr/share/gitolite3/gitolite-shell';

describe(
  'The git site of gitolite’s repositories',
  { skip: lacking(shell, 'gitolite3'), timeout: 120_000 },
  () => {
    let home: string;
    let served: Served;
    before(async () => {
      home = await temporaryDirectory();
      const env = { ...process.env, HOME: home };
      await succeed('gitolite', ['setup', '-a', 'admin'], { env, cwd: home });
      const settings = join(home, '.gitolite.rc');
      const rc = await readFile(settings, 'utf8');
      await writeFile(
        settings,
        rc.replace(/GIT_CONFIG_KEYS +=> .*/, String.raw`GIT_CONFIG_KEYS => 'gitweb\..*',`),
      );
      // As the page shows it.
      const shown = /^repo tool\n(?: .*\n)+/m.exec(textOf('src/man/fcgi2cgi-migrating.7'))?.[0] ?? '';
      await appendFile(
        join(home, '.gitolite/conf/gitolite.conf'),
        `\n${shown}\nrepo secret\n    RW+ = ann\n`,
      );
      await succeed('gitolite', ['compile'], { env, cwd: home });
      await succeed('gitolite', ['trigger', 'POST_COMPILE'], { env, cwd: home });
      await writeFile(
        join(home, 'ssh'),
        `#!/bin/sh\nfor last; do :; done\nHOME=${home} SSH_CONNECTION=here SSH_ORIGINAL_COMMAND=$last exec ${shell} "\${last_user:-ann}"\n`,
        { mode: 0o755 },
      );
      const work = join(home, 'work');
      await mkdir(work);
      await git(['init', '-q', '-b', 'main'], work);
      await git(['commit', '-q', '--allow-empty', '-m', 'First'], work);
      for (const name of ['tool', 'secret'])
        await git(['push', '-q', `git@host:${name}`, 'main'], work, { GIT_SSH: join(home, 'ssh') });
      served = await serve(['git', '--repos', join(home, 'repositories')]);
    });

    const get = (path: string): ReturnType<typeof runToEnd> => {
      const [file, ...args] = commandLine(['get', served.socket, path]);
      return runToEnd(file, args);
    };

    it('shows everybody what gitolite’s users daemon and gitweb may read, and nothing else', async () => {
      assert.match((await get('/tool.git/')).stdout, /<title>.*tool\.git\/summary<\/title>/);
      assert.match((await get('/tool.git/info/refs?service=git-upload-pack')).stdout, /refs\/heads\/main/);
      const { stdout } = await get('/');
      assert.match(stdout, />tool\.git</);
      assert.match(stdout, /<i>Ann<\/i>/);
      for (const name of ['secret', 'gitolite-admin']) {
        assert.doesNotMatch(stdout, new RegExp(name));
        for (const path of [`/${name}.git/`, `/${name}.git/info/refs?service=git-upload-pack`])
          assert.match((await get(path)).stderr, /status 404/, path);
      }
    });

    it('takes no push, which gitolite still decides of by ssh', async () => {
      assert.match((await get('/tool.git/info/refs?service=git-receive-pack')).stderr, /status 403/);
      const push = ['push', 'git@host:tool', 'main:more'];
      const others = await tryGit(push, join(home, 'work'), { GIT_SSH: join(home, 'ssh'), last_user: 'bob' });
      assert.match(others.stderr, /DENIED/);
      assert.equal((await tryGit(push, join(home, 'work'), { GIT_SSH: join(home, 'ssh') })).status, 0);
    });
  },
);
