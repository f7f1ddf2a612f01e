/** The Debian package, as `scripts/package deb` makes it: what it has, what lintian says, and that it works as unpacked. */

import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { before, describe, it } from 'node:test';

import { runToEnd, succeed } from '../helpers/command.js';
import { filesBelow } from '../helpers/documents.js';
import { lacking } from '../helpers/release.js';
import { temporaryDirectory } from '../helpers/temporary.js';

const top = fileURLToPath(new URL('../../..', import.meta.url));

describe('The Debian package', { timeout: 300_000, skip: lacking('dpkg-deb', 'dpkg') }, () => {
  let file: string;
  let unpacked: string;
  before(async () => {
    const directory = await temporaryDirectory();
    await succeed(join(top, 'scripts/package'), ['deb', directory], { cwd: top });
    file = join(directory, (await readdir(directory)).find((name) => name.endsWith('.deb')) ?? '');
    unpacked = join(directory, 'unpacked');
    await succeed('dpkg-deb', ['--raw-extract', file, unpacked]);
  });

  it('has what the system, the shells and the manual’s reader look for, and nothing that only makes it', async () => {
    const listing = await succeed('dpkg-deb', ['--contents', file]);
    const paths = [...listing.matchAll(/ \.(\/\S*[^/\s])(?: -> .*)?$/gm)].map(([, path]) => path);
    for (const path of [
      '/etc/fcgi2cgi.toml',
      '/etc/logrotate.d/fcgi2cgi',
      '/usr/bin/fcgi2cgi',
      '/usr/lib/systemd/system/fcgi2cgi.service',
      '/usr/lib/systemd/system/fcgi2cgi@.service',
      '/usr/lib/sysusers.d/fcgi2cgi.conf',
      '/usr/lib/tmpfiles.d/fcgi2cgi.conf',
      '/usr/share/bash-completion/completions/fcgi2cgi',
      '/usr/share/fish/vendor_completions.d/fcgi2cgi.fish',
      '/usr/share/zsh/vendor-completions/_fcgi2cgi',
      '/usr/share/doc/fcgi2cgi/LICENSES.gz',
      ...filesBelow('src/man/').map((page) => `/usr/share/man/man${page.slice(-1)}/${page.slice(8)}.gz`),
    ]) {
      assert.ok(paths.includes(path), path);
    }
    assert.deepEqual(
      paths.filter((path) =>
        /^\/usr\/lib\/.*(?:\.(?:ts|map|md|html|cc?|hh)$|\/(?:test|examples)\/)/.test(path ?? ''),
      ),
      [],
    );
    assert.doesNotMatch(listing, / (?!root\/root)\S+\/\S+ +\d+ /, 'belongs to root');
    assert.equal(
      await readFile(join(unpacked, 'DEBIAN/conffiles'), 'utf8'),
      '/etc/fcgi2cgi.toml\n/etc/logrotate.d/fcgi2cgi\n',
    );
    assert.match(
      await readFile(join(unpacked, 'DEBIAN/control'), 'utf8'),
      /^Depends: nodejs \(>= 20\.19\),/m,
    );
  });

  it('is one that lintian has nothing to say of', { skip: lacking('lintian') }, async () => {
    const asked = await runToEnd('lintian', ['--allow-root', '--fail-on', 'error,warning', file]);
    assert.deepEqual([asked.status, asked.stdout], [0, '']);
  });

  it('has units whose daemons an upgrade of the package finds', async () => {
    for (const name of ['fcgi2cgi', 'fcgi2cgi@']) {
      const unit = join(unpacked, `usr/lib/systemd/system/${name}.service`);
      const [, command = '', pidFile = ''] =
        /^ExecStart=(\S+) serve --config \S+ --pid-file (\S+)$/m.exec(await readFile(unit, 'utf8')) ?? [];
      assert.equal(command, '/usr/bin/fcgi2cgi');
      assert.equal(pidFile, `/run/${name.replace('@', '-%i')}/fcgi2cgi.pid`);
      assert.ok(
        (await readFile(join(unpacked, 'DEBIAN/postinst'), 'utf8')).includes(pidFile.replace('%i', '*')),
      );
    }
  });

  it('has a rotation of the log that logrotate can read', async () => {
    const rotation = join(unpacked, 'etc/logrotate.d/fcgi2cgi');
    const text = await readFile(rotation, 'utf8');
    // Only root may make a file in /var/log.
    assert.match(text, /^\tcreate$/m);
    assert.match(text, /^\t\tservice fcgi2cgi reload /m);
  });

  it('has all that the command needs', async () => {
    const command = join(unpacked, 'usr/bin/fcgi2cgi');
    const { version } = JSON.parse(await readFile(join(top, 'package.json'), 'utf8')) as { version: string };
    assert.equal(await succeed(command, ['--version']), `${version}\n`);
    const config = join(unpacked, 'sites.toml');
    await succeed('sh', [
      '-c',
      `printf '[site.a]\\nkind = "hg"\\nrepos = "."\\nlisten = "unix:sock"\\n' > "$0"`,
      config,
    ]);
    await succeed(command, ['serve', '--config', config, '--check']);
    const modules = join(unpacked, 'usr/lib/fcgi2cgi/');
    await succeed(process.execPath, ['-e', 'require("koffi")'], { cwd: modules });
  });
});
