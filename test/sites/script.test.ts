import assert from 'node:assert/strict';
import { chmod, rm } from 'node:fs/promises';
import { beforeEach, describe, it } from 'node:test';

import { fromText } from '../../src/base/bytes.js';
import { scriptSite } from '../../src/sites/script.js';
import { makeTree } from '../helpers/file-tree.js';
import { temporaryDirectory } from '../helpers/temporary.js';

const program = { content: '#!/bin/sh\n', mode: 0o755 };
const site = (file: string, args: readonly string[] = []): ReturnType<typeof scriptSite> =>
  scriptSite({ file, args, base: new Map([['PATH', '/bin']]), administrator: new Map([['MODE', 'ours']]) });

let root: string;

beforeEach(async () => {
  root = fromText(await temporaryDirectory());
});

describe('The site of one script', () => {
  it('runs it for every request, in its own directory, with its arguments', async () => {
    await makeTree(root, { 'cgi/caf\xe9': program });
    const resolution = await (await site(`${root}/cgi/caf\xe9`, ['-a', '', '\xff'])).resolve([]);
    assert.equal(resolution.kind, 'run');
    const { file, args, directory } = resolution.invocation;
    assert.deepEqual(
      { file, args, directory },
      {
        file: `${root}/cgi/caf\xe9`,
        args: ['-a', '', '\xff'],
        directory: `${root}/cgi`,
      },
    );
  });

  it('runs no other, whatever the web server names', async () => {
    await makeTree(root, { a: program, b: program });
    const params = [
      ['SCRIPT_FILENAME', `${root}/b`],
      ['PATH_TRANSLATED', `${root}/b`],
    ] as const;
    const resolution = await (await site(`${root}/a`)).resolve(params);
    assert.equal(resolution.kind === 'run' && resolution.invocation.file, `${root}/a`);
  });

  it('passes params on, above the daemon’s own variables and below the administrator’s', async () => {
    await makeTree(root, { a: program });
    const params = [
      ['PATH', '/theirs'],
      ['MODE', 'theirs'],
      ['PATH_INFO', '/\xe9'],
      ['HTTP_PROXY', 'http://evil'],
    ] as const;
    const resolution = await (await site(`${root}/a`)).resolve(params);
    assert.equal(resolution.kind, 'run');
    assert.deepEqual(Object.fromEntries(resolution.invocation.variables), {
      GATEWAY_INTERFACE: 'CGI/1.1',
      PATH: '/theirs',
      MODE: 'ours',
      PATH_INFO: '/\xe9',
    });
  });

  it('can’t be made of what is missing, a directory or not executable, and the error says which', async () => {
    await makeTree(root, { plain: { content: 'x', mode: 0o644 } });
    const wrong = { missing: /script .*missing: there is no such file/, '.': /this is no file/ };
    for (const [name, message] of Object.entries(wrong)) {
      await assert.rejects(site(`${root}/${name}`), { code: 'ERR_START', message });
    }
    await assert.rejects(site(`${root}/plain`), { code: 'ERR_START', message: /chmod \+x .*plain$/ });
  });

  it('outlives its script: one that goes missing costs requests, and may come back', async () => {
    await makeTree(root, { a: program });
    const made = await site(`${root}/a`);
    await rm(`${root}/a`);
    assert.equal((await made.resolve([])).kind, 'run');
    await makeTree(root, { a: program });
    await chmod(`${root}/a`, 0o755);
    assert.equal((await made.resolve([])).kind, 'run');
  });
});
