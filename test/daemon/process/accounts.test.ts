/** Users and groups as the system's programs tell them, without a change of who this process is. */

import assert from 'node:assert/strict';
import { chmod, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, it } from 'node:test';

import { groupOf, groupsOf, userOf } from '../../../src/daemon/process/accounts.js';
import { identityOf } from '../../../src/daemon/process/privileges.js';
import { succeed } from '../../helpers/command.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

let directory: string;
beforeEach(async () => {
  directory = await temporaryDirectory();
});

/** Programs that answer in the place of the system's. */
async function withPrograms(programs: Readonly<Record<string, string>>, action: () => void): Promise<void> {
  for (const [name, body] of Object.entries(programs)) {
    await writeFile(join(directory, name), `#!/bin/sh\n${body}\n`);
    await chmod(join(directory, name), 0o755);
  }
  const before = process.env['PATH'];
  process.env['PATH'] = directory;
  try {
    action();
  } finally {
    process.env['PATH'] = before;
  }
}

describe('A user', () => {
  it('has the numbers that id(1) says, by name or number', async () => {
    const [uid, gid] = await Promise.all(['-u', '-g'].map((what) => succeed('id', [what, 'www-data'])));
    const wwwData = { uid: Number(uid), entry: { gid: Number(gid) } };
    assert.deepEqual(userOf('www-data'), wwwData);
    assert.deepEqual(userOf(String(Number(uid))), wwwData);
    const all = (await succeed('id', ['-G', 'www-data'])).trim();
    assert.equal(groupsOf('www-data').join(' '), all);
  });

  it('is known without id(1) where it is our own, by its name', async () => {
    const { username, uid, gid } = userInfo();
    await withPrograms({ id: 'echo 4713' }, () => {
      assert.deepEqual(userOf(username), { uid, entry: { gid } });
      assert.deepEqual(userOf('4713'), { uid: 4_713, entry: { gid: 4_713 } });
    });
  });

  it('may be a number without an entry', () => {
    assert.deepEqual(userOf('54321'), { uid: 54_321, entry: undefined });
  });

  it('is unknown only where the system has said so', async () => {
    for (const said of ["id: 'u': no such user", 'id: u: No such user', 'id: unknown user u']) {
      await withPrograms({ id: `echo "${said}" >&2; exit 1` }, () => {
        assert.throws(() => userOf('u'), {
          code: 'ERR_USAGE',
          message: '--user u: the system knows no such user',
        });
      });
    }
    await withPrograms({ id: 'echo "id: u: Input/output error" >&2; exit 1' }, () => {
      assert.throws(() => userOf('u'), {
        code: 'ERR_START',
        message: "--user u: can't be looked up: id: u: Input/output error",
      });
    });
  });

  it('can’t be looked up where there is no id(1)', async () => {
    await withPrograms({}, () => {
      assert.throws(() => userOf('u'), {
        code: 'ERR_START',
        message: /^--user u: can't be looked up: spawnSync id ENOENT$/,
      });
    });
  });

  it('is asked for in words that can be told, whatever its name begins with', async () => {
    await withPrograms({ id: '[ "$LC_ALL $2 $3" = "C -- -x" ] && echo 4712' }, () => {
      assert.equal(userOf('-x').uid, 4_712);
    });
  });

  it('is looked up once', async () => {
    await withPrograms({ id: 'echo 4711' }, () => {
      assert.equal(userOf('once').uid, 4_711);
    });
    await withPrograms({ id: 'exit 1' }, () => {
      assert.equal(userOf('once').uid, 4_711);
    });
  });
});

describe('A group', () => {
  it('has the number that getent(1) says, or that it is', async () => {
    const gid = (await succeed('getent', ['group', 'daemon'])).split(':')[2];
    assert.equal(groupOf('daemon'), Number(gid));
    assert.equal(groupOf('4711'), 4_711);
  });

  it('is unknown only where the system has said so', async () => {
    await withPrograms({ getent: 'exit 2' }, () => {
      assert.throws(() => groupOf('g'), {
        code: 'ERR_USAGE',
        message: '--group g: the system knows no such group',
      });
    });
    await withPrograms({ getent: 'echo "getent: out of order" >&2; exit 1' }, () => {
      assert.throws(() => groupOf('g'), {
        code: 'ERR_START',
        message: "--group g: can't be looked up: getent: out of order",
      });
    });
  });

  it('is looked up in /etc/group where there is no getent(1)', async () => {
    await withPrograms({}, () => {
      assert.equal(groupOf('root'), 0);
      assert.throws(() => groupOf('g'), {
        code: 'ERR_START',
        message: "--group g: can't be looked up: it is not in /etc/group, and there is no getent(1)",
      });
    });
  });
});

describe('Whom root serves as', { skip: process.getuid?.() !== 0 }, () => {
  const id = 'case $1 in -u) echo 1234 ;; -g) echo 100 ;; -G) echo 100 8 9 ;; esac';

  it('has all groups of that user, and --group in the place of the first one', async () => {
    await withPrograms({ id }, () => {
      const user = 'somebody';
      for (const [group, gid] of [
        [undefined, 100],
        ['200', 200],
      ] as const) {
        const expected = { user, uid: 1_234, gid, groups: [gid, 8, 9] };
        assert.deepEqual(identityOf({ user, group }), expected);
      }
    });
  });

  it('is root itself where nothing is to change', () => {
    const own = String(process.getgid?.());
    assert.equal(identityOf({ user: 'root', group: own }), undefined);
    const { uid, gid } = identityOf({ user: 'root', group: '12345' }) ?? {};
    assert.deepEqual([uid, gid], [0, 12_345]);
  });
});
