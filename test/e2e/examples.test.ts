/** What README.md and the manual pages show, as it stands: commands run, configuration files are read, files are there. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { before, describe, it } from 'node:test';

import { runCommand } from '../../src/cli/command-line.js';
import { commands } from '../../src/cli/commands.js';
import { atOnce, readOptions } from '../../src/cli/options/option.js';
import { readConfigurationFile } from '../../src/cli/toml-file/configuration-file.js';
import { runToEnd } from '../helpers/command.js';
import { textOf } from '../helpers/documents.js';
import { bridgeCommandsIn, commandsOf, type Example, examplesIn, pages } from '../helpers/examples.js';
import { readableTop } from '../helpers/package-copy.js';
import { pathOf } from '../helpers/release.js';
import { temporaryDirectory } from '../helpers/temporary.js';

/** Options that name accounts and files, which the reader's machine has. */
const ofSystem = ['user', 'group', 'socket-owner', 'socket-group', 'hgweb-config', 'gitweb-config'];
const files = ['README.md', ...pages];
const examples = files.flatMap(examplesIn);
const world = ['/srv', '/run', '/var/log', '/var/www', '/usr/lib/cgi-bin'].filter(
  (path) => !existsSync(path),
);
const top = fileURLToPath(new URL('../../..', import.meta.url));
const aroundLighttpd =
  'server.document-root = "/var/www"\nserver.port = 8080\nserver.username = "www-data"\n';
const isRoot = process.getuid?.() === 0;
const skip = !isRoot ? 'needs root' : world.length > 0 ? `this machine lacks ${world.join(', ')}` : false;

describe('An example', () => {
  let directory: string;
  before(async () => {
    directory = await temporaryDirectory();
    await chmod(directory, 0o755);
  });

  it('is marked as something that is known', () => {
    const known = ['shell', 'shell elsewhere', 'toml', 'text', 'unit', 'lighttpd'];
    assert.deepEqual(
      examples.filter(({ kind }) => !known.includes(kind)).map(({ name, kind }) => [name, kind]),
      [],
    );
    assert.ok(examples.filter(({ kind }) => kind === 'shell').length > 30);
  });

  it('is run, read, taken from a file, or marked with a reason, which names a file that is there', () => {
    for (const { name, file, kind, from, why, text } of examples) {
      // The reference shows the shapes of command lines, logs and answers; README.md has a drawing.
      if (file.endsWith('.8') || from !== undefined || text.includes('──')) continue;
      assert.equal(why !== undefined, ['shell elsewhere', 'text', 'unit'].includes(kind), name);
      if (why === undefined) continue;
      const [named = ''] = /\b(?:test|scripts|rc\.d|src)\/[\w./-]*\w/.exec(why) ?? [];
      assert.ok(named !== '' && existsSync(join(top, named)), `${name}: ${why}`);
    }
  });

  it('that runs fcgi2cgi has a command line that fcgi2cgi can read', async () => {
    const lines = examples.flatMap((example) =>
      bridgeCommandsIn(toRun(example)).map((args) => ({ name: example.name, args })),
    );
    assert.ok(lines.length > 50, String(lines.length));
    for (const command of commands) {
      const rows = Object.fromEntries(
        [...command.own, ...(command.shared ?? [])].map((row) => [row.name, row]),
      );
      Object.assign(command, {
        load: () =>
          Promise.resolve((given: Parameters<typeof readOptions>[1]) => {
            readOptions(
              Object.fromEntries(
                [...given.keys()]
                  .filter((key) => !ofSystem.includes(key))
                  .map((key) => [key, rows[key] ?? {}]),
              ),
              given,
              atOnce,
            );
            return Promise.resolve(undefined);
          }),
      });
    }
    for (const { name, args } of lines) {
      await assert.doesNotReject(runCommand(args), `${name}: fcgi2cgi ${args.join(' ')}`);
    }
    await assert.rejects(runCommand(['hg', '--repos', '/srv/hg', '--no-such-option', 'x']), /no-such-option/);
    await assert.rejects(runCommand(['hg', '--repos', '/srv/hg', '--max-time', 'x']), /--max-time/);
  });

  it('gives no password as an argument, and has no pid file where another user than root may write', () => {
    for (const { name, text } of examples) {
      assert.doesNotMatch(text, /openssl passwd(?: -\w+)* [^-)\s]/, name);
      for (const [, path = ''] of text.matchAll(/--pid-file (\/\S+)/g))
        assert.match(path, /^(?:\/var)?\/run\/[^/]+$/, name);
    }
  });

  it('writes over no settings of another program', () => {
    for (const { name, text } of examples) {
      for (const [, path = ''] of text.matchAll(/[^>]> *(\/etc\/\S+)/g)) assert.match(path, /fcgi2cgi/, name);
    }
  });

  for (const { name, text } of examples.filter(({ kind }) => kind === 'toml')) {
    it(`that is a configuration file is one: ${name}`, async () => {
      const file = join(directory, 'sites.toml');
      await writeFile(file, text);
      assert.ok(readConfigurationFile(file, new Map()).sites.length > 0);
    });
  }

  for (const { name, text, from = '' } of examples.filter(({ from }) => from !== undefined)) {
    it(`that shows a file of the package has its lines, in their order: ${name}, of ${from}`, () => {
      const lines = textOf(from)
        .split('\n')
        .map((line) => line.trim());
      let next = 0;
      for (const line of text.split('\n').map((each) => each.trim())) {
        const found = lines.indexOf(line, next);
        assert.notEqual(found, -1, `${from} lacks, there: ${line}`);
        next = found + 1;
      }
    });
  }

  for (const { name, text } of examples.filter(({ kind }) => kind === 'lighttpd')) {
    it(`that is a configuration of lighttpd is one: ${name}`, { skip: !isRoot && 'needs root' }, async () => {
      const file = join(directory, 'lighttpd.conf');
      await writeFile(file, aroundLighttpd + text);
      const { status, stderr } = await runToEnd(pathOf('lighttpd') ?? 'lighttpd', ['-tt', '-f', file]);
      assert.equal(status, 0, stderr);
    });
  }

  for (const example of examples.filter(({ kind }) => kind.startsWith('shell'))) {
    it(`of a shell is one: ${example.name}`, () => {
      assert.equal(spawnSync('sh', ['-n'], { input: toRun(example), encoding: 'utf8' }).stderr, '');
    });
  }

  for (const file of files.filter((each) => examplesIn(each).some(({ kind }) => kind === 'shell'))) {
    it(`of ${file} does what the page says, after those before it`, { skip, timeout: 300_000 }, async () => {
      const own = join(directory, file.replaceAll('/', '-'));
      await mkdir(own);
      await chmod(own, 0o755);
      await writeFile(`${own}.sh`, scriptOf(examplesIn(file)));
      const namespaces = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc'];
      const script = join(readableTop(), 'test/fixtures/world.sh');
      const { status, stdout } = await runToEnd('timeout', [
        ...['--kill-after=5', '240', 'unshare', ...namespaces],
        script,
        ...[readableTop(), own, `${own}.sh`],
      ]);
      assert.equal(status, 0, stdout);
      const said = stdout.split('@@ \n').slice(1);
      const shown = examplesIn(file).flatMap((each) => (each.kind === 'shell' ? commandsOf(each) : []));
      assert.equal(said.length, shown.length, stdout);
      for (const [index, { command, output }] of shown.entries()) {
        for (const line of output)
          assert.match(said[index] ?? '', asShown(line), `${command}:\n${said[index] ?? ''}`);
      }
    });
  }
});

/** What is to be run of an example: not what a page shows as output. */
function toRun(example: Example): string {
  if (!example.kind.startsWith('shell')) return example.text;
  return [example.before, ...commandsOf(example).map(({ command }) => command)].join('\n');
}

/** Runs the examples in their order, with a line before what each command says; the first that fails is the last. */
function scriptOf(ofFile: readonly Example[]): string {
  const parts = ofFile.flatMap((example) => {
    if (example.kind === 'toml') return [`cat > /etc/fcgi2cgi.toml <<'END'\n${example.text}END`];
    if (example.kind === 'lighttpd') return [lighttpdWith(example.text)];
    if (example.kind !== 'shell') return [];
    return ['cd /', example.before, ...commandsOf(example).map(({ command }) => `echo '@@ '\n${command}`)];
  });
  return ['exec 2>&1', ...parts].join('\n');
}

/** Has lighttpd serve what an example says, and looks at the first page. */
function lighttpdWith(text: string): string {
  const file = '/etc/lighttpd/lighttpd.conf';
  const get = 'curl -sSf --retry 50 --retry-delay 1 --retry-connrefused http://localhost:8080/';
  return [
    `cat > ${file} <<'END'\n${aroundLighttpd}${text}END`,
    `ip link set lo up; lighttpd -f ${file}; ${get} | grep -c 'name="generator" content="gitweb' > /dev/null`,
  ].join('\n');
}

/** A line as it is shown: numbers may be others, and `...` is anything. */
function asShown(line: string): RegExp {
  const pattern = line
    .split('...')
    .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\/]/g, '\\$&').replaceAll(/\d+/g, '\\d+'))
    .join('.*');
  return new RegExp(`^${pattern}$`, 'm');
}
