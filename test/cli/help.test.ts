/** The help of each command, and what completes command lines. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { before, describe, it } from 'node:test';

import { commands } from '../../src/cli/commands.js';
import { shells } from '../../src/cli/options/command-options.js';
import { runBridge } from '../helpers/bridge.js';
import { runHere } from '../helpers/run-here.js';

const names = commands.map(({ usage }) => usage.split(' ')[0] ?? '');

describe('The help', () => {
  let helps: ReadonlyMap<string, string>;
  before(async () => {
    const all = new Map<string, string>();
    for (const name of names) all.set(name, (await runHere([name, '--help'])).stdout);
    helps = all;
  });

  it('has at most 80 columns where no terminal says how many there are', async () => {
    const { stdout } = await runBridge(['--help']);
    for (const text of [stdout, ...helps.values()]) {
      for (const line of text.split('\n')) assert.ok(line.length <= 80, line);
    }
  });

  it('begins with what is required', () => {
    const headings = (name: string): readonly string[] =>
      [...(helps.get(name) ?? '').matchAll(/^([A-Z]\w+):$/gm)].map(([, heading = '']) => heading);
    for (const name of ['hg', 'git', 'dir', 'serve', 'setup']) {
      assert.equal(
        headings(name).find((heading) => heading !== 'Positionals'),
        'Required',
        name,
      );
    }
  });

  it('ends with three examples of each command', () => {
    for (const [name, text] of helps) {
      const [, examples = ''] = text.split('\nExamples:\n');
      const lines = examples.trimEnd().split('\n');
      assert.equal(lines.length, 3, name);
      for (const line of lines) assert.match(line, new RegExp(`^ {2}fcgi2cgi ${name}( |$)`));
    }
  });
});

describe('The completion', () => {
  it('is a script that each shell which is installed can read', async () => {
    for (const shell of shells) {
      const { stdout } = await runHere(['completion', shell]);
      assert.match(stdout, /fcgi2cgi --get-yargs-completions /);
      const read = spawnSync(shell, ['-n'], { input: stdout, encoding: 'utf8' });
      if (read.error === undefined) assert.deepEqual([read.status, read.stderr], [0, ''], shell);
    }
  });

  it('offers commands, options and the values that one chooses from, in bash', async () => {
    const { stdout: script } = await runHere(['completion', 'bash']);
    const offered = async (...words: readonly string[]): Promise<readonly string[]> => {
      const asked = await runBridge(['--get-yargs-completions', 'fcgi2cgi', ...words.slice(0, -1), '']);
      const fake = `fcgi2cgi() { printf '%s' "$ANSWER"; }; ${script}`;
      const line = `COMP_WORDS=(fcgi2cgi "$@"); COMP_CWORD=$#; _fcgi2cgi; printf '%s\\n' "\${COMPREPLY[@]}"`;
      const env = { ...process.env, ANSWER: asked.stdout };
      const { stdout, stderr } = spawnSync('bash', ['-c', `${fake}\n${line}`, 'bash', ...words], {
        encoding: 'utf8',
        env,
      });
      assert.equal(stderr, '');
      return stdout.trimEnd().split('\n');
    };
    assert.deepEqual(await offered('ser'), ['serve']);
    assert.deepEqual(await offered('hg', '--run'), ['--runner']);
    assert.deepEqual(await offered('hg', '--runner', 'w'), ['warm']);
  });
});
