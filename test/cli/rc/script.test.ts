import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { fillScript, type Installation } from '../../../src/cli/rc/rc.js';
import {
  type RcSystem,
  type RcSystemName,
  rcSystemNames,
  rcSystems,
  thisSystem,
} from '../../../src/cli/rc/systems.js';
import { BridgeError, OptionError } from '../../../src/base/errors.js';
import { runToEnd } from '../../helpers/command.js';
import { enclose, rcDirectory } from '../../helpers/rc.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

const textOf = ({ file }: RcSystem): string => readFileSync(join(rcDirectory, file), 'utf8');
const odd = { command: '/opt/bücher und mehr/bin/fcgi2cgi', node: '/opt/ein node/bin/node', user: 'someone' };
const plain = { command: '/opt/bücher/bin/fcgi2cgi', node: '/opt/nœud/bin/node', user: 'someone' };

/** The oddest paths that a system's script can have. */
const oddest = ({ command, node }: RcSystem): Installation => ({
  ...plain,
  ...(!command.refused.test(odd.command) && { command: odd.command }),
  ...(!node.refused.test(odd.node) && { node: odd.node }),
});

/** What the shell makes of `text` when `variable` is printed at its end. */
async function inShell(text: string, variable: string): Promise<string> {
  const { stdout } = await runToEnd('sh', ['-c', `${text}\nprintf %s "${variable}"`]);
  return Buffer.from(stdout, 'latin1').toString();
}

/** The first line that matches. */
function line(text: string, pattern: RegExp): string {
  const found = text.split('\n').find((each) => pattern.test(each));
  assert.ok(found !== undefined, `no line matches ${String(pattern)}`);
  return found;
}

describe('The script that fcgi2cgi rc prints', () => {
  for (const name of rcSystemNames) {
    const system: RcSystem = rcSystems[name];

    it(`is that of rc.d/${system.file} where everything is where it expects it`, () => {
      const usual = system.user.exec(textOf(system))?.[0];
      const installation = { command: system.command.text, node: undefined, user: usual };
      assert.equal(fillScript(textOf(system), system, installation), textOf(system));
    });

    it(`is still a script for ${name} where everything is in an odd place`, async () => {
      const filled = fillScript(textOf(system), system, oddest(system));
      assert.equal(system.user.exec(filled)?.[0], 'someone');
      assert.doesNotMatch(filled, /\/(local|pkg)\/bin\/fcgi2cgi/);
      if (name === 'systemd') return;
      const script = join(await temporaryDirectory(), 'script');
      await writeFile(script, filled);
      assert.deepEqual(await runToEnd('sh', ['-n', script]), { status: 0, stdout: '', stderr: '' });
    });

    it(`can't have a path that a ${name} script would read as something else`, () => {
      const refused = [`/a'b`, '/a"b', '/a$b', '/a`b', '/a%b', '/a\nb', '/a\\b', '/a}b', '/a\uFFFDb'];
      const installations = refused.flatMap((path) => [
        { ...plain, command: path },
        { ...plain, node: `${path}/node` },
      ]);
      for (const installation of [...installations, { ...plain, node: '/a:b/node' }]) {
        assert.throws(
          () => fillScript(textOf(system), system, installation),
          (error) =>
            error instanceof BridgeError &&
            error.code === 'ERR_START' &&
            error.message.includes('symbolic link'),
          JSON.stringify(installation),
        );
      }
    });
  }

  it('gives sysv the command and node, whatever their paths', async () => {
    const filled = fillScript(textOf(rcSystems.sysv), rcSystems.sysv, odd);
    assert.equal(await inShell(line(filled, /^command=/), '$command'), odd.command);
    assert.match(await inShell(line(filled, /^PATH=/), '$PATH'), /^\/opt\/ein node\/bin:/);
  });

  it('gives OpenRC the command, whatever its path, and node', async () => {
    const filled = fillScript(textOf(rcSystems.openrc), rcSystems.openrc, { ...plain, command: odd.command });
    assert.equal(await inShell(line(filled, /\{fcgi2cgi:=/), '$fcgi2cgi'), odd.command);
    assert.equal(await inShell(line(filled, /^command=/), '$command'), plain.node);
  });

  it('gives OpenBSD a command that runs node with the program', async () => {
    const installation = { ...plain, command: odd.command };
    const filled = fillScript(textOf(rcSystems.openbsd), rcSystems.openbsd, installation);
    const words = await inShell(`${line(filled, /^daemon="/)}\neval "set -- $daemon"`, '$1,$2');
    assert.equal(words, `${plain.node},${odd.command}`);
  });

  it('gives the BSDs no path that the shell or rc.subr would divide', () => {
    for (const name of ['freebsd', 'netbsd'] as const) {
      for (const path of ['/a b', '/a&b', '/a;b', '/a*b', '/a#b', '/a(b']) {
        const fill = (): string =>
          fillScript(textOf(rcSystems[name]), rcSystems[name], { ...plain, command: path });
        assert.throws(fill, { code: 'ERR_START' }, `${name}: ${path}`);
      }
    }
  });

  it('gives systemd a unit that it has nothing to say against', { timeout: 300_000 }, async () => {
    const directory = await temporaryDirectory();
    const command = join(directory, 'bücher und mehr', 'fcgi2cgi');
    await mkdir(join(directory, 'bücher und mehr'));
    await writeFile(command, '#!/bin/sh\n');
    await chmod(command, 0o755);
    const units = join(directory, 'etc', 'systemd', 'system');
    await mkdir(units, { recursive: true });
    await mkdir(join(directory, 'run'));
    const filled = fillScript(textOf(rcSystems.systemd), rcSystems.systemd, {
      ...odd,
      command,
      user: 'root',
    });
    assert.match(filled, /^Environment="PATH=\/opt\/ein node\/bin:/m);
    await writeFile(join(units, 'fcgi2cgi.service'), filled);
    const runInside = await enclose(join(directory, 'run'), join(directory, 'etc'));
    const verify = ['systemd-analyze', 'verify', '--man=no', 'fcgi2cgi.service'];
    assert.deepEqual(await runInside(verify), { status: 0, stdout: '', stderr: '' });
  });
});

describe('The system that fcgi2cgi rc takes for this machine’s', () => {
  const there =
    (...paths: readonly string[]) =>
    (path: string): boolean =>
      paths.includes(path);
  const cases: readonly (readonly [string, readonly string[], RcSystemName])[] = [
    ['linux', ['/run/systemd/system', '/lib/lsb/init-functions'], 'systemd'],
    ['linux', ['/run/openrc/softlevel', '/lib/lsb/init-functions'], 'openrc'],
    ['linux', ['/lib/lsb/init-functions', '/sbin/openrc-run'], 'sysv'],
    ['linux', ['/sbin/openrc-run'], 'openrc'],
    ['openbsd', [], 'openbsd'],
    ['freebsd', [], 'freebsd'],
    ['netbsd', [], 'netbsd'],
  ];
  for (const [platform, paths, expected] of cases) {
    it(`is ${expected} on ${platform} with ${paths.join(' and ') || 'nothing more'}`, () => {
      assert.equal(thisSystem(platform, there(...paths)), expected);
    });
  }

  it('is asked for where it can’t be told', () => {
    assert.throws(
      () => thisSystem('sunos', there()),
      (error) =>
        error instanceof OptionError && /SYSTEM is missing.*sunos.*systemd, openrc/.test(error.message),
    );
  });
});
