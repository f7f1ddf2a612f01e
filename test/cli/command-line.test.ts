import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { before, describe, it } from 'node:test';

import { commands } from '../../src/cli/commands.js';
import { daemonOptions } from '../../src/cli/options/command-options.js';
import { siteKinds } from '../../src/cli/options/site-kinds.js';
import { rowsOf } from '../../src/cli/options/option.js';
import { siteOptions } from '../../src/cli/options/site-options.js';
import { ask } from '../helpers/ask.js';
import { commandLine, fixture, runBridge, startBridge } from '../helpers/bridge.js';
import { runToEnd } from '../helpers/command.js';
import { makeTree } from '../helpers/file-tree.js';
import { runHere } from '../helpers/run-here.js';
import { temporaryDirectory } from '../helpers/temporary.js';

const packageJson = new URL('../../../package.json', import.meta.url);

let directory: string;
let listen: readonly string[];

before(async () => {
  directory = await temporaryDirectory();
  await mkdir(`${directory}/repos`);
  listen = ['--listen', `unix:${directory}/sock`];
});

/** The command ends with that status and one line on standard error, and prints nothing else. */
async function fails(
  status: number,
  args: readonly string[],
  line: RegExp,
  // A mistake is found before anything begins.
  run: typeof runBridge = status === 2 ? runHere : runBridge,
): Promise<void> {
  const ended = await run(args);
  assert.equal(ended.status, status, `${args.join(' ')}: ${ended.stderr}`);
  assert.equal(ended.stdout, '');
  assert.match(ended.stderr, /^fcgi2cgi: [^\n]+\n$/);
  assert.match(ended.stderr, line);
}

describe('A command line that can’t be understood ends with status 2 and one line:', () => {
  it('no command, or one that there is not', async () => {
    await fails(2, [], /a command is missing; see fcgi2cgi --help/);
    await fails(2, ['serv'], /serv/);
    await fails(2, ['dir', 'more', '--root', '/', ...listen], /more/);
  });

  it('an unknown option, by its name, also one that takes a known one back', async () => {
    await fails(2, ['dir', '--root', '/', '--max-prozesses', '3', ...listen], /max-prozesses/);
    await fails(2, ['dir', '--root', '/', '--repos', '/', ...listen], /repos/);
    await fails(2, ['dir', '--root', '/', '--no-listen'], /no-listen/);
    await fails(2, ['script', '/bin/true', '-x', ...listen], /x/);
  });

  it('a required option that is missing', async () => {
    await fails(2, ['dir', ...listen], /root/);
    await fails(2, ['hg', ...listen], /repos/);
    await fails(2, ['script', ...listen], /FILE is missing/);
  });

  it('an option without its value', async () => {
    await fails(2, ['dir', '--root', '/', '--listen'], /listen/);
    await fails(2, ['dir', '--root', '/', ...listen, '--pid-file'], /pid-file/);
    await fails(2, ['dir', '--root', ...listen], /root/);
  });

  it('an option with an empty value, which as a path would be the working directory', async () => {
    await fails(2, ['dir', '--root', '', ...listen], /--root is empty/);
    await fails(2, ['dir', '--root=', ...listen], /--root is empty/);
    await fails(2, ['hg', '--repos', '', ...listen], /--repos is empty/);
    await fails(2, ['hg', '--repos', directory, '--markers', '', ...listen], /--markers is empty/);
    await fails(2, ['script', '', ...listen], /FILE is empty/);
  });

  it('an option twice that has one value', async () => {
    await fails(
      2,
      ['hg', '--repos', '/', '--repos', '/tmp', ...listen],
      /--repos is given 2 times, but has one value/,
    );
    await fails(
      2,
      ['dir', '--root', '/', '--max-queue', '1', '--max-queue', '2', ...listen],
      /--max-queue is given 2 times/,
    );
    await fails(
      2,
      ['dir', '--root', '/', '--log-level', 'info', '--log-level', 'warn', ...listen],
      /--log-level is given 2 times/,
    );
  });

  it('a value that can’t be', async () => {
    await fails(2, ['dir', '--root', '/', '--log-level', 'loud', ...listen], /log-level.*loud.*error/i);
    await fails(
      2,
      ['dir', '--root', '/', '--kill-grace', '5', ...listen],
      /--kill-grace 5: expected a duration/,
    );
    await fails(2, ['dir', '--root', '/', '--listen', 'sock'], /--listen sock: this is no address/);
    for (const [owner, why] of [
      ['no-such-user', 'the system knows no such user$'],
      ['root:daemon', 'the system knows no such user; a group has an option of its own$'],
    ] as const) {
      const message = new RegExp(`--socket-owner ${owner}: ${why}`, 'm');
      await fails(2, ['dir', '--root', '/', '--socket-owner', owner, ...listen], message);
    }
    await fails(
      2,
      ['hg', '--repos', directory, '--url-prefix', 'hg', ...listen],
      /--url-prefix hg: expected .*slash/,
    );
  });

  it('a flag with a value that is neither true nor false, and so would be neither', async () => {
    const flags = commands.flatMap(({ usage, own, shared = [] }) =>
      [...own, ...shared].filter(({ form }) => form === 'flag').map(({ name }) => [usage, name] as const),
    );
    for (const [usage, name] of [...flags, ['setup', 'help'], ['get', 'version']] as const) {
      for (const value of ['yes', '1', 'on', 'True', '', 'true=true']) {
        const word = `--${name}=${value}`;
        const args = [usage.split(' ')[0] ?? '', word];
        await fails(2, args, new RegExp(`${word}: expected no value, or true or false`));
      }
    }
    await fails(2, ['setup', '-h=yes'], /-h=yes: expected no value, or true or false/);
  });

  it('two ways of publishing git repositories', async () => {
    await fails(
      2,
      ['git', '--repos', directory, '--export-all', '--markers', directory, ...listen],
      /--export-all publishes all repositories, and --markers only some: choose one/,
    );
  });

  it('nowhere to listen, with an example', async () => {
    await fails(
      2,
      ['dir', '--root', '/'],
      /nowhere to listen: .*descriptor is no socket.*--listen unix:\/run/,
      runBridge,
    );
  });
});

describe('A command that can’t be done ends with status 1 and one line:', () => {
  it('what it is to serve is not there', async () => {
    await fails(
      1,
      ['dir', '--root', `${directory}/missing`, ...listen],
      /--root .*missing: there is no such directory/,
    );
    await fails(1, ['script', `${directory}/missing`, ...listen], /script .*missing: there is no such file/);
    await fails(
      1,
      ['hg', '--repos', directory, '--hg', `${directory}/hg`, ...listen],
      /--hg .*: there is no such program/,
    );
    await fails(
      1,
      ['hg', '--repos', directory, '--hgweb-config', `${directory}/x`, ...listen],
      /--hgweb-config .*ENOENT/,
    );
  });

  it('where it is to listen can’t be', async () => {
    await fails(
      1,
      ['dir', '--root', '/', '--listen', `${directory}/missing/sock`],
      /there is no directory .*missing/,
    );
    await fails(1, ['dir', '--root', '/', '--listen', '0.0.0.0:0'], /--allow-from/);
  });

  it('its log or pid file can’t be written', async () => {
    await fails(
      1,
      ['dir', '--root', '/', '--log-file', directory, ...listen],
      /--log-file .* can't be opened/,
    );
    await fails(
      1,
      ['dir', '--root', '/', '--pid-file', directory, ...listen],
      /--pid-file .* can't be written/,
    );
  });
});

describe('Standard output', () => {
  const printing = [
    ['--help'],
    ['rc', 'systemd'],
    ['completion', 'bash'],
    ['explain', 'script', '/bin/true', '--', '/'],
  ];

  it('that can’t be written ends the command with status 1 and one line', async () => {
    const shell = ['-c', 'exec "$@" > /dev/full', 'sh'];
    for (const args of printing) {
      const { status, stderr } = await runToEnd('sh', [...shell, ...commandLine(args)]);
      assert.match(
        stderr,
        /^(?:[^f].*\n)*fcgi2cgi: standard output can't be written: ENOSPC: .*\n$/,
        args[0],
      );
      assert.equal(status, 1, args[0]);
    }
  });

  it('whose reader has left keeps the command from nothing', async () => {
    for (const args of printing) {
      const [file, ...rest] = commandLine(args);
      const child = spawn(file, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
      child.stdout.destroy();
      let stderr = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
      await once(child, 'close');
      assert.equal(child.exitCode, 0, stderr);
      assert.doesNotMatch(stderr, /EPIPE/);
    }
  });
});

describe('Help', () => {
  it('lists every command and ends with status 0', async () => {
    for (const args of [['--help'], ['-h']]) {
      const { status, stdout, stderr } = await runHere(args);
      assert.deepEqual([status, stderr], [0, '']);
      for (const command of ['fcgi2cgi hg', 'fcgi2cgi script <file>', 'fcgi2cgi dir']) {
        assert.ok(stdout.includes(command), command);
      }
    }
  });

  it('of a command lists every option with its description and default', async () => {
    for (const [command, own] of Object.entries({ hg: siteKinds.hg, dir: siteKinds.dir, script: {} })) {
      const { status, stdout } = await runHere([command, '--help']);
      assert.equal(status, 0);
      const text = stdout.replaceAll(/\s+/g, ' ');
      for (const row of rowsOf({ own, siteOptions, daemonOptions })) {
        const { name, description, default: usual = '' } = row;
        assert.ok(text.includes(` --${name} ${description}`), `${command} --help lacks --${name}`);
        if (usual === '') continue;
        assert.ok(text.includes(`[default: "${usual}"]`), `${command} --help: default of --${name}`);
      }
    }
  });
});

describe('A flag', () => {
  it('is set without a value or with true, not with false, and what follows -- is none', async () => {
    for (const [flag, isSet] of [
      ['--json', true],
      ['--json=true', true],
      ['--json=false', false],
    ] as const) {
      const { stdout } = await runHere(['explain', 'script', '/bin/true', flag, '--', '--json=yes', '/']);
      assert.equal(stdout.startsWith('{'), isSet, flag);
      assert.match(stdout, /--json=yes/);
    }
  });
});

describe('The version', () => {
  it('is the package’s', async () => {
    const { version } = JSON.parse(readFileSync(packageJson, 'utf8')) as { version: string };
    const { status, stdout, stderr } = await runBridge(['--version']);
    assert.deepEqual([status, stdout, stderr], [0, `${version}\n`, '']);
  });
});

describe('A script’s arguments', () => {
  it('are what follows it, and after -- anything at all, as it stands', async () => {
    const socket = `${directory}/script`;
    const bridge = await startBridge([
      ...['script', fixture('cgi/prints-invocation.py'), 'first', '007', '--listen', socket],
      ...['--', '--listen', '-x', '1e3', '0x10', '', 'é', '--'],
    ]);
    try {
      const { stdout } = await ask(socket);
      const found = [...stdout.matchAll(/^argument ?(.*)$/gm)].map(([, hex = '']) =>
        Buffer.from(hex, 'hex').toString(),
      );
      assert.deepEqual(found, ['first', '007', '--listen', '-x', '1e3', '0x10', '', 'é', '--']);
    } finally {
      await bridge.stop();
    }
  });

  it('do not turn a file that is named by a relative path into another', async () => {
    await makeTree(directory, {
      'cgi/a': { content: '#!/bin/sh\nprintf "A: b\\n\\n%s" "$PWD"', mode: 0o755 },
    });
    const socket = `${directory}/relative`;
    const relative = `${'../'.repeat(process.cwd().split('/').length - 1)}${directory.slice(1)}/cgi/a`;
    const bridge = await startBridge(['script', relative, '--listen', socket]);
    try {
      assert.equal((await ask(socket)).stdout, `A: b\n\n${directory}/cgi`);
    } finally {
      await bridge.stop();
    }
  });
});
