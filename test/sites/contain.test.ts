import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';

import fc from 'fast-check';

import { fromText } from '../../src/base/bytes.js';
import { isExecutable } from '../../src/base/executable.js';
import { contains, realPath, safeSegments, statOrAbsent } from '../../src/sites/contain.js';
import { makeTree } from '../helpers/file-tree.js';
import { unreachable } from '../helpers/look-up.js';
import { temporaryDirectory } from '../helpers/temporary.js';

describe('A directory', () => {
  it('contains itself and what lies below it, and no sibling whose name begins alike', () => {
    assert.equal(contains('/srv/hg', '/srv/hg'), true);
    assert.equal(contains('/srv/hg', '/srv/hg/a/b'), true);
    assert.equal(contains('/srv/hg', '/srv/hg-private'), false);
    assert.equal(contains('/srv/hg', '/srv/hg2/a'), false);
    assert.equal(contains('/srv/hg', '/srv'), false);
    assert.equal(contains('/srv/hg', '/'), false);
  });

  it('that is the root contains everything', () => {
    assert.equal(contains('/', '/'), true);
    assert.equal(contains('/', '/etc/passwd'), true);
  });
});

describe('Safe segments', () => {
  it('are what stands between slashes, however many', () => {
    assert.deepEqual(safeSegments('/a//b/'), ['a', 'b']);
    assert.deepEqual(safeSegments(''), []);
    assert.deepEqual(safeSegments('///'), []);
  });

  it('are refused for dots that name a directory, and only for those', () => {
    for (const path of ['/.', '/..', '/a/../b', '/a/./b', '..', '/a/..']) {
      assert.equal(safeSegments(path), undefined, path);
    }
    assert.deepEqual(safeSegments('/.../a..b/..c'), ['...', 'a..b', '..c']);
  });

  it('are refused for a NUL, where C would end the name', () => {
    assert.equal(safeSegments('/a.hg\0.txt'), undefined);
  });

  it('leave encoded slashes and backslashes as part of a name', () => {
    assert.deepEqual(safeSegments('/a%2Fb/..%2f..\\x'), ['a%2Fb', '..%2f..\\x']);
  });

  it('put together never name anything but a path below, whatever the octets', () => {
    const path = fc.array(fc.constantFrom('/', '.', '..', 'a', '\0', '%2F', '\n', '\xff'), { maxLength: 20 });
    fc.assert(
      fc.property(path, (parts) => {
        const segments = safeSegments(parts.join(''));
        if (segments === undefined) return;
        for (const segment of segments) {
          assert.ok(!['', '.', '..'].includes(segment) && !/[/\0]/.test(segment), JSON.stringify(segment));
        }
      }),
    );
  });
});

describe('A look at the file system', () => {
  let root: string;

  before(async () => {
    root = (await realPath(fromText(await temporaryDirectory()))) ?? '';
    await makeTree(root, {
      file: { content: 'x', mode: 0o644 },
      program: { content: '#!/bin/sh\n', mode: 0o755 },
      link: { link: 'program' },
      dangling: { link: 'nowhere' },
      circle: { link: 'circle' },
      'caf\xe9': { content: 'x' },
    });
  });

  it('finds the real path behind a symbolic link, octet by octet', async () => {
    assert.equal(await realPath(`${root}/link`), `${root}/program`);
    assert.equal(await realPath(`${root}/caf\xe9`), `${root}/caf\xe9`);
  });

  it('finds nothing, and does not fail, where nothing can be reached', async () => {
    for (const name of unreachable) {
      assert.equal(await realPath(`${root}/${name}`), undefined, name);
      assert.equal(await statOrAbsent(`${root}/${name}`), undefined, name);
    }
  });

  it('knows what may be executed', async () => {
    assert.equal(await isExecutable(`${root}/program`), true);
    assert.equal(await isExecutable(`${root}/file`), false);
    assert.equal(await isExecutable(`${root}/none`), false);
    assert.equal(await isExecutable(`${root}/a\0b`), false);
  });
});
