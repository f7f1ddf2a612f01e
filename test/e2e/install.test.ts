/**
 * The package as its users install it: read-only, in paths with blanks and letters beyond ASCII, run by an ordinary
 * user with umask 077, with Mercurial and git in odd places.
 */

import assert from 'node:assert/strict';
import { chmod, cp, mkdir, readdir, readFile, rename, stat, symlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { ask } from '../helpers/ask.js';
import { type Bridge, startCommand } from '../helpers/bridge.js';
import { runToEnd, succeed } from '../helpers/command.js';
import { filesBelow, textOf } from '../helpers/documents.js';
import { makeBareRepository } from '../helpers/git.js';
import { Installation, oddDirectory } from '../helpers/installation.js';
import { makeRepository } from '../helpers/mercurial.js';
import { ordinaryUser } from '../helpers/rc.js';
import { temporaryDirectory } from '../helpers/temporary.js';

const timeout = 180_000;

describe('The installed package', { timeout }, () => {
  let directory: string;
  let user: string;
  let installation: Installation;
  let installed: string;

  before(async () => {
    directory = await temporaryDirectory();
    await chmod(directory, 0o755);
    user = await ordinaryUser(process.execPath);
    const prefix = join(await oddDirectory(directory, 'prefix'), 'usr');
    installation = new Installation(directory, prefix, user);
    await installation.install();
    installed = await installation.listing();
  });

  after(async () => {
    await succeed('chmod', ['-R', 'u+w', directory]);
  });

  it('has the command, which says its version', async () => {
    const { version } = JSON.parse(textOf('package.json')) as { version: string };
    assert.deepEqual(await installation.run(['--version']), {
      status: 0,
      stdout: `${version}\n`,
      stderr: '',
    });
  });

  it('has brought no package but koffi, of the version that is tested', async () => {
    const { packages } = JSON.parse(textOf('package-lock.json')) as {
      packages: Record<string, { version: string }>;
    };
    const modules = installation.at('lib', 'node_modules', 'fcgi2cgi', 'node_modules');
    const found = (await succeed('find', [modules, '-name', 'package.json']))
      .split('\n')
      .map(
        (path) =>
          /(?<=\/)node_modules\/(?:@[^/]+\/)?[^/]+(?=\/package\.json$)/.exec(
            path.slice(modules.length - 13),
          )?.[0],
      )
      .filter((name) => name !== undefined);
    assert.ok(found.includes('node_modules/koffi'), found.join(' '));
    for (const name of found) {
      const { version } = JSON.parse(await readFile(join(modules, '..', name, 'package.json'), 'utf8')) as {
        version: string;
      };
      assert.equal(version, packages[name]?.version, name);
      assert.match(name, /^node_modules\/(?:koffi|@koromix\/koffi-[\w-]+)$/);
    }
    const { dependencies, optionalDependencies } = JSON.parse(textOf('package.json')) as Record<
      string,
      Record<string, string>
    >;
    const ranges = Object.values({ ...dependencies, ...optionalDependencies });
    assert.ok(
      ranges.every((range) => /^\d+\.\d+\.\d+$/.test(range)),
      ranges.join(' '),
    );
  });

  it('is a library as well, which a program can import', async () => {
    const library = installation.at('lib', 'node_modules', 'fcgi2cgi');
    const { exports } = JSON.parse(textOf('package.json')) as {
      exports: Record<string, Record<string, string>>;
    };
    for (const path of Object.values(exports['.'] ?? {}))
      assert.ok((await stat(join(library, path))).isFile(), path);
    const program = `import(${JSON.stringify(join(library, exports['.']?.['default'] ?? ''))})
      .then((all) => console.log(Object.keys(all).sort().join()));`;
    const said = await succeed(process.execPath, ['-e', program]);
    assert.equal(said, 'BridgeError,Daemon,defaultConfiguration,openAccessLog,openLog\n');
  });

  it('has each manual page where man(1) looks for it', async () => {
    for (const file of filesBelow('src/man/')) {
      const page = installation.at('share', 'man', `man${file.slice(-1)}`, basename(file));
      assert.equal(await readFile(page, 'utf8'), textOf(file));
    }
  });

  it('has everything that other interpreters run and that its documents name, and no test', async () => {
    const at = (name: string): string => installation.at('lib', 'node_modules', 'fcgi2cgi', name);
    for (const name of [
      'dist/bin/bundled/LICENSES',
      'scripts/hgweb.cgi',
      'scripts/gitweb-checks.conf',
      'scripts/gitweb.conf',
      'scripts/gitweb.pm',
      'CHANGELOG.md',
      'README.md',
      'LICENSE',
    ]) {
      assert.equal(await readFile(at(name), 'utf8'), textOf(name));
    }
    for (const name of ['scripts/warm/', 'scripts/webservers/', 'rc.d/']) {
      for (const file of filesBelow(name)) assert.equal(await readFile(at(file), 'utf8'), textOf(file));
    }
    assert.deepEqual((await readdir(at('dist'))).sort(), ['bin', 'src']);
  });

  it('prints the rc script of a system with its own path in it, and what to do with it', async () => {
    const { status, stdout, stderr } = await installation.run(['rc', 'sysv', '--user', user]);
    assert.equal(status, 0, stderr);
    const text = Buffer.from(stdout, 'latin1').toString();
    assert.ok(text.includes(`\ncommand='${installation.at('bin', 'fcgi2cgi')}'\n`), text);
    assert.match(text, new RegExp(`^user=${user}\\b`, 'm'));
    assert.match(
      stderr,
      /^Save it as \/etc\/init\.d\/fcgi2cgi, set the variables at its top, then:\n {2}chmod/,
    );
  });

  it('prints an rc script that starts and stops it', async () => {
    const place = await oddDirectory(directory, 'rc');
    const script = join(place, 'fcgi2cgi');
    const { stdout } = await installation.run(['rc', 'sysv', '--user', user]);
    await writeFile(script, stdout, { encoding: 'latin1', mode: 0o755 });
    await mkdir(join(place, 'repos'));
    const settings = Object.entries({
      ...{ repos: join(place, 'repos'), markers: '', log_file: join(place, 'log') },
      ...{ socket: join(directory, 'rc', 'sock'), dirsocket: '', pid_file: join(directory, 'rc', 'pid') },
    }).map(([name, value]) => `${name}='${value}'\n`);
    await writeFile(join(place, 'defaults'), settings.join(''));
    const env = { ...process.env, FCGI2CGI_DEFAULTS: join(place, 'defaults') };
    const start = await runToEnd(script, ['start'], { env });
    assert.equal(start.status, 0, start.stdout + start.stderr);
    const page = await installation.run(['get', join(directory, 'rc', 'sock'), '/']);
    const stop = await runToEnd(script, ['stop'], { env });
    assert.deepEqual([page.status, page.stderr], [0, '']);
    assert.equal(stop.status, 0, stop.stdout + stop.stderr);
    assert.deepEqual(await readdir(join(directory, 'rc')), []);
  });

  it('refuses to print a script in which its path can’t stand, and says what to do', async () => {
    const { status, stdout, stderr } = await installation.run(['rc', 'freebsd']);
    assert.deepEqual([status, stdout], [1, '']);
    assert.match(stderr, /^fcgi2cgi: \/.*: .*rc\.d\/freebsd can't have " " .*; make a symbolic link to it/);
  });

  it('prints that script when it was run by a symbolic link, and names the link', async () => {
    const link = join(directory, 'fcgi2cgi');
    await symlink(installation.at('bin', 'fcgi2cgi'), link);
    const [file = '', ...args] = installation.command(['rc', 'freebsd']);
    const { stdout } = await runToEnd(
      file,
      args.map((each) => (each === installation.at('bin', 'fcgi2cgi') ? link : each)),
    );
    assert.ok(stdout.includes(`\ncommand=${link}\n`), stdout);
  });

  it('refuses a user whom the machine does not know', async () => {
    assert.deepEqual(await installation.run(['rc', 'sysv', '--user', 'nobody-of-that-name']), {
      ...{ status: 2, stdout: '' },
      stderr: 'fcgi2cgi: --user nobody-of-that-name: there is no such user here\n',
    });
  });

  for (const runner of ['spawn', 'warm']) {
    it(`serves Mercurial and git by ${runner}, which are in odd places`, async () => {
      const place = await oddDirectory(directory, runner);
      const sockets = join(directory, runner);
      const config = await describeSites(place, sockets, runner);
      await mkdir(sockets);
      await succeed('chown', ['-R', user, place, sockets]);
      const daemon = await startCommand(installation.command(['serve', '--config', config]));
      try {
        await askFor(daemon, `${sockets}/hg`, ['/', '/project/', '/project/?cmd=capabilities'], runner);
        await askFor(
          daemon,
          `${sockets}/git`,
          ['/', '/project.git/', '/project.git/info/refs?service=git-upload-pack', '/static/gitweb.css'],
          runner,
        );
        assert.equal((await stat(`${sockets}/hg`)).mode & 0o777, 0o660);
      } finally {
        assert.equal(await daemon.stop(), 0, daemon.log());
      }
      assert.doesNotMatch(daemon.log(), / (warn|error) /);
      assert.deepEqual(await readdir(sockets), []);
    });
  }

  it('has written nothing to where it is installed', async () => {
    assert.equal(await installation.listing(), installed);
  });

  it('leaves nothing behind when it is uninstalled', async () => {
    await installation.uninstall();
    const left = await succeed('find', [installation.prefix, '-not', '-type', 'd']);
    assert.equal(left, '');
  });

  /** Asks for each path, first by the command, and by fork servers as well where there are to be any. */
  async function askFor(
    daemon: Bridge,
    socket: string,
    paths: readonly string[],
    runner: string,
  ): Promise<void> {
    const got = await installation.run(['get', socket, '/']);
    assert.equal(got.status, 0, `${got.stderr}${daemon.log()}`);
    const get = async (path: string): Promise<void> => {
      const [, name = '', query = ''] = /^([^?]*)\??(.*)$/.exec(path) ?? [];
      const params = { SCRIPT_NAME: name, QUERY_STRING: query, REQUEST_METHOD: 'GET' };
      const { stdout, appStatus } = await ask(socket, { ...params, SERVER_NAME: 'a', SERVER_PORT: '80' });
      assert.match(stdout, /^(?!Status: [^2])[^]*\r?\n\r?\n/, `${path}: ${daemon.log()}`);
      assert.equal(appStatus, 0, path);
    };
    for (const path of paths) await get(path);
    if (runner !== 'warm') return;
    const script = socket.endsWith('hg') ? 'hgweb.cgi' : 'gitweb.cgi';
    await daemon.logged(new RegExp(`fork server is ready .*${script.replace('.', '\\.')}`));
    for (const path of paths) await get(path);
  }
});

/** A configuration file of an hg and a git site, with programs and repositories that are where nobody would look. */
async function describeSites(place: string, sockets: string, runner: string): Promise<string> {
  const repos = join(await temporaryDirectory(), 'repos');
  await makeRepository(join(repos, 'project'), { a: 'a\n' });
  await makeBareRepository(join(repos, 'project.git'), { a: 'a\n' });
  await rename(repos, join(place, 'repos'));
  for (const program of ['hg', 'git']) {
    const path = (await succeed('sh', ['-c', `command -v ${program}`])).trim();
    await writeFile(join(place, program), `#!/bin/sh\nexec ${path} "$@"\n`, { mode: 0o755 });
  }
  await cp('/usr/share/gitweb', join(place, 'gitweb'), { recursive: true, dereference: true });
  const config = join(place, 'sites.toml');
  await writeFile(
    config,
    `runner = "${runner}"
[site.hg]
kind = "hg"
repos = "repos"
hg = "./hg"
listen = ["unix:${sockets}/hg"]
[site.git]
kind = "git"
repos = "repos"
git = "./git"
gitweb = "gitweb/gitweb.cgi"
listen = ["unix:${sockets}/git"]
`,
  );
  return config;
}
