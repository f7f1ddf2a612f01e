/** Git's own http-backend behind an nginx that passes pushes on as they come. */

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';

import { succeed } from '../helpers/command.js';
import { makeTree } from '../helpers/file-tree.js';
import { startUnbufferedNginx } from '../helpers/nginx.js';
import { serve } from '../helpers/served.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import type { WebServer } from '../helpers/webserver.js';

const BYTES = 200_000_000;
/** Random octets can't be made smaller; to try would be most of the test's time. */
const settings = [
  'core.compression=0',
  'core.bigFileThreshold=1m',
  'user.name=Ann',
  'user.email=ann@example.org',
];
const git = (directory: string, ...args: string[]): Promise<string> =>
  succeed('git', ['-C', directory, ...settings.flatMap((setting) => ['-c', setting]), ...args]);

describe('git-http-backend', { timeout: 120_000 }, () => {
  let web: WebServer | undefined;
  after(() => web?.stop());

  it('takes a push of 200 MB that nginx passes on as it comes (fastcgi_request_buffering off)', async () => {
    const directory = await temporaryDirectory();
    const backend = join((await succeed('git', ['--exec-path'])).trim(), 'git-http-backend');
    // fastcgi_params of nginx has no PATH_INFO.
    const wrapper = `#!/bin/sh\nPATH_INFO=$DOCUMENT_URI exec ${backend}\n`;
    await makeTree(directory, { 'backend.sh': { content: wrapper, mode: 0o755 }, work: 'directory' });
    await git(directory, 'init', '-q', '--bare', 'target.git');
    await git(join(directory, 'target.git'), 'config', 'http.receivepack', 'true');
    const work = join(directory, 'work');
    await git(work, 'init', '-q');
    await writeFile(join(work, 'big'), randomBytes(BYTES));
    await git(work, 'add', 'big');
    await git(work, 'commit', '-q', '-m', 'large');
    const options = ['--env', `GIT_PROJECT_ROOT=${directory}`, '--env', 'GIT_HTTP_EXPORT_ALL='];
    const served = await serve(['script', ...options, join(directory, 'backend.sh')]);
    web = await startUnbufferedNginx(served.socket);
    await git(work, 'push', '-q', `${web.url}/target.git`, 'HEAD:refs/heads/main');
    const pushed = await git(join(directory, 'target.git'), 'rev-parse', 'main:big');
    assert.equal(pushed, await git(work, 'rev-parse', 'HEAD:big'));
    assert.doesNotMatch(served.log(), / (warn|error) /);
  });
});
