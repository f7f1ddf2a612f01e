import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { before, describe, it } from 'node:test';

import { fromText, toBuffer } from '../../src/base/bytes.js';
import { type Command, textCommand } from '../../src/process/command.js';

import { fixture } from '../helpers/bridge.js';
import { parseInvocation, type SeenInvocation } from '../helpers/invocation.js';
import { startProcess } from '../helpers/spawn-method.js';
import { temporaryDirectory } from '../helpers/temporary.js';

/** Latin-1, no valid UTF-8: it forces the way through the shell. */
const LATIN1 = 'f\xfcr \xe9';

let python: string;

before(() => {
  // What is called python3 may be a shell script that sets variables of its own.
  python = execFileSync('python3', ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' }).trim();
});

/** What a program sees of a command; `file` and `args` are those of the program. */
async function seenBy(language: 'perl' | 'python', command: Partial<Command>): Promise<SeenInvocation> {
  const program = language === 'perl' ? ['/usr/bin/perl'] : [fromText(python)];
  const script = fixture(`cgi/prints-invocation.${language === 'perl' ? 'pl' : 'py'}`);
  const started = await startProcess({
    file: program[0] ?? '',
    args: [fromText(script), ...(command.args ?? [])],
    directory: command.directory ?? '/',
    variables: command.variables ?? new Map(),
  });
  started.stdin.end();
  const [stdout, stderr, exit] = await Promise.all([
    text(started.stdout),
    text(started.stderr),
    started.exited,
  ]);
  assert.deepEqual({ stderr, exit }, { stderr: '', exit: { kind: 'exited', code: 0 } });
  return parseInvocation(stdout);
}

/** Every octet that a value can have. */
const everyOctet = Array.from({ length: 255 }, (_, index) => String.fromCharCode(index + 1)).join('');

const difficult: Readonly<Record<string, string>> = {
  // Python 3 adds LC_CTYPE to an environment that says nothing of a locale.
  LC_ALL: 'C',
  PATH: '/usr/local/bin:/usr/bin:/bin',
  EMPTY: '',
  SPACES: '  a  b  ',
  QUOTES: `'"'"'\`$(echo no)\`$HOME \${PATH}`,
  PERCENT: '%s %d %% %41 %n',
  BACKSLASHES: '\\ \\\\ \\n \\101 \\x41 \\c \\',
  NEWLINES_AT_THE_END: 'a\n\n\n',
  ONLY_NEWLINES: '\n\n',
  DASHES: '-n -e --',
  EQUALS: '=a=b=',
  GLOB: '* ? [a-z] ~',
  EURO: fromText('€ – ☹'),
  __proto__x: 'inherited?',
  '-i': 'like an option of env',
  'A.B': 'a dot in the name',
  'A-B': 'a dash in the name',
  '1ST': 'a digit first',
  'WITH SPACE': 'x',
  'QUOTE\'"$(x)': 'y',
  [fromText('GRÜN')]: fromText('grün'),
};

const latin1: Readonly<Record<string, string>> = {
  LATIN1,
  EVERY_OCTET: everyOctet,
  LATIN1_NEWLINES: `${LATIN1}\n\n`,
  LATIN1_QUOTES: `\xff'"\`$(echo no)\\101%s`,
  LATIN1_DIGITS: '\xff1\xff23\x017',
  LATIN1_DASH: '-n\xff',
  'A.L1': LATIN1,
  'NAME\xff': 'x',
  '\xffNAME': LATIN1,
};

/** Names that a shell gives a meaning to, or a value. */
const shells: Readonly<Record<string, string>> = Object.fromEntries(
  [
    'PWD',
    'OLDPWD',
    'SHLVL',
    '_',
    'IFS',
    'OPTIND',
    'OPTARG',
    'LINENO',
    'PPID',
    'PS1',
    'PS4',
    'RANDOM',
    'SECONDS',
    'UID',
    'EUID',
    'ENV',
    'BASH_ENV',
    'BASHOPTS',
    'SHELLOPTS',
    'CDPATH',
    'HOME',
    'TERM',
    'LANG',
    'SHELL',
  ].map((name) => [name, `the value of ${name}`]),
);

const environments: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'that is all UTF-8': difficult,
  'with values and names that are not UTF-8': { ...difficult, ...latin1 },
  'with names that a shell has a use for': { LC_ALL: 'C', PATH: '/usr/bin:/bin', ...shells },
  'with such names and a value that is not UTF-8': { LC_ALL: 'C', PATH: '/usr/bin:/bin', ...shells, LATIN1 },
  'with such a name and a PATH that has no program': { LC_ALL: 'C', PATH: '/nowhere', 'A.L1': LATIN1 },
};

for (const language of ['perl', 'python'] as const) {
  describe(`A program in ${language}`, () => {
    for (const [what, environment] of Object.entries(environments)) {
      it(`sees exactly the environment ${what}`, async () => {
        const seen = await seenBy(language, { variables: new Map(Object.entries(environment)) });
        assert.deepEqual(seen.variables, environment);
      });
    }

    const PATH = '/usr/bin:/bin';
    const args = ['', ' ', '-n', '-e', '--', 'a\n', `'"$(x)\\%s`, fromText('ü'), '*', 'A=B'];

    it('sees exactly its arguments', async () => {
      assert.deepEqual((await seenBy(language, { args })).args, args);
    });

    it('sees exactly its arguments where one is not UTF-8', async () => {
      const all = [...args, LATIN1, everyOctet, '-\xff', '\n\xff\n'];
      assert.deepEqual(
        (await seenBy(language, { args: all, variables: new Map([['PATH', PATH]]) })).args,
        all,
      );
    });

    it('sees exactly its arguments where a variable’s name is no shell’s and not UTF-8', async () => {
      const variables = new Map([
        ['PATH', PATH],
        ['N.\xff', 'x'],
      ]);
      assert.deepEqual((await seenBy(language, { args, variables })).args, args);
    });
  });
}

describe('A command whose file or directory is not UTF-8', () => {
  it('is started there, with no variable besides', async () => {
    const parent = await temporaryDirectory();
    for (const name of ['plain', fromText('ünïcode'), 'lat\xefn-1', '-dash\xff', 'newline\xff\n']) {
      const directory = join(fromText(parent), name);
      await mkdir(toBuffer(directory));
      const file = join(directory, 'prints\xfc.pl');
      await copyFile(fixture('cgi/prints-invocation.pl'), toBuffer(file));
      const variables = new Map([['A', 'b']]);
      const started = await startProcess({ file, args: ['\xe9'], directory, variables });
      started.stdin.end();
      const [stdout, stderr] = await Promise.all([
        text(started.stdout),
        text(started.stderr),
        started.exited,
      ]);
      assert.equal(stderr, '');
      assert.deepEqual(parseInvocation(stdout), { directory, args: ['\xe9'], variables: { A: 'b' } });
      assert.match(stdout, new RegExp(`^program ${toBuffer(file).toString('hex')}$`, 'm'));
    }
  });
});

describe('A command as text', () => {
  const command: Command = {
    file: '/bin/x',
    args: ['a'],
    directory: '/d',
    variables: new Map([['A', 'b']]),
  };

  it('is the command itself where all of it is UTF-8, however odd: no shell, no cost', () => {
    const variables = new Map(Object.entries({ ...difficult, ...shells, ['__proto__']: 'own' }));
    const given = { ...command, args: ['-n', fromText('ü')], variables };
    const made = textCommand(given);
    assert.deepEqual(
      { file: made.file, args: made.args, directory: made.directory },
      {
        file: '/bin/x',
        args: ['-n', 'ü'],
        directory: '/d',
      },
    );
    assert.deepEqual(
      Object.entries(made.environment).sort(),
      [...variables].map(([name, value]) => [toBuffer(name).toString(), toBuffer(value).toString()]).sort(),
    );
  });

  it('shows in the process list nothing but what is not UTF-8, and names that a shell would lose', () => {
    const variables = new Map([
      ['HTTP_COOKIE', 'secret-cookie'],
      ['LATIN1', '\xff'],
    ]);
    const made = textCommand({ ...command, variables });
    assert.equal(made.file, '/bin/sh');
    assert.doesNotMatch(made.args.join('\n'), /secret-cookie|HTTP_COOKIE/);
    assert.equal(made.environment['HTTP_COOKIE'], 'secret-cookie');
  });

  it('is refused with a NUL byte anywhere, in whatever company', () => {
    const withNul: Partial<Command>[] = [
      { file: '/bin/\0x' },
      { args: ['a\0b'] },
      { directory: '/d\0' },
      { variables: new Map([['A', 'a\0b']]) },
      { variables: new Map([['A\0', 'b']]) },
    ];
    for (const part of withNul) {
      for (const args of [[], ['\xff']]) {
        const given = { ...command, ...part, args: [...(part.args ?? []), ...args] };
        assert.throws(() => textCommand(given), { code: 'ERR_SPAWN', message: /NUL/ });
      }
    }
  });
});
