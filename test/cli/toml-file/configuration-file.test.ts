import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { before, describe, it } from 'node:test';

import { readConfiguration } from '../../../src/cli/configuration.js';
import { readConfigurationFile } from '../../../src/cli/toml-file/configuration-file.js';
import { siteKindNames, siteKinds } from '../../../src/cli/options/site-kinds.js';
import { type Given, type Option, rowsOf } from '../../../src/cli/options/option.js';
import type { Configuration } from '../../../src/daemon/configuration.js';
import { linesOf, OptionError } from '../../../src/base/errors.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

let directory: string;
let file: string;

before(async () => {
  directory = await temporaryDirectory();
  file = `${directory}/sites.toml`;
});

async function read(text: string, overriding: Given = new Map()): Promise<Configuration> {
  await writeFile(file, text);
  return readConfigurationFile(file, overriding);
}

/** What is wrong with a file, a line each, without the file's name. */
async function problems(text: string, overriding: Given = new Map()): Promise<string[]> {
  try {
    await read(text, overriding);
  } catch (error) {
    return linesOf(error).map((line) => line.replace(`${file}:`, '').replaceAll(directory, 'DIR'));
  }
  return [];
}

const site = '[site.a]\nkind = "dir"\nroot = "/"\nlisten = "/a"\n';

describe('A configuration file', () => {
  it('says for each site what the command line of its kind would, defaults included', async () => {
    const { sites, ...daemonWide } = await read(
      `[site.cgi]\nkind = "dir"\nroot = "/srv"\nlisten = ["/run/cgi", "127.0.0.1:9000"]\nkill-grace = "1s"\n`,
    );
    const same = readConfiguration(
      { kind: 'dir', roots: ['/srv'] },
      new Map<string, string | readonly string[]>([
        ['listen', ['/run/cgi', '127.0.0.1:9000']],
        ['kill-grace', '1s'],
      ]),
    );
    const { locate, ...cgi } = sites[0] ?? assert.fail();
    assert.equal(typeof locate, 'function');
    assert.deepEqual({ sites: [{ ...cgi, name: undefined }], ...daemonWide }, same);
    assert.equal(cgi.name, 'cgi');
  });

  it('is named with the site and the place of what the site lacks', async () => {
    const { sites } = await read(site);
    const lacking = sites[0]?.locate?.(
      new OptionError('ERR_GIT', { option: 'gitweb', why: 'is needed; install it' }),
    );
    assert.equal(lacking?.message, `${file}:1:1: [site.a] gitweb is needed; install it`);
  });

  it('has sites of every kind, with names of any letters, and paths that count from its directory', async () => {
    const { sites, pidFile, log } = await read(`
pid-file = "pid"
log-file = "log"
[site."hg.example.org"]
kind = "hg"
repos = "repos"
hg = "./bin/hg"
listen = ["unix:hg"]
[site.'script']
kind = "script"
file = "report.cgi"
argument = ["-v", "--", "ä"]
listen = "unix:report"
[site.dir]
kind = "dir"
root = "cgi-bin"
listen = [ # one a line
  "unix:cgi",
  "[::1]:9000",
]
`);
    assert.deepEqual([pidFile, log.file], [`${directory}/pid`, `${directory}/log`]);
    assert.deepEqual(
      sites.map(({ name, site: { kind }, listen }) => [name, kind, listen[0]]),
      [
        ['hg.example.org', 'hg', { kind: 'unix', path: `${directory}/hg` }],
        ['script', 'script', { kind: 'unix', path: `${directory}/report` }],
        ['dir', 'dir', { kind: 'unix', path: `${directory}/cgi` }],
      ],
    );
    assert.deepEqual(
      sites.map((each) => each.site),
      [
        {
          kind: 'hg',
          repos: `${directory}/repos`,
          markers: undefined,
          hgwebConfig: undefined,
          hg: `${directory}/bin/hg`,
          urlPrefix: '',
          trustRemoteUser: false,
        },
        { kind: 'script', file: `${directory}/report.cgi`, args: ['-v', '--', '\xc3\xa4'] },
        { kind: 'dir', roots: [`${directory}/cgi-bin`] },
      ],
    );
  });

  it('has before its sites what holds for all of them that do not say otherwise', async () => {
    const { sites } = await read(
      `max-processes = 4\nqueue-timeout = 0\nenv = ["A=1"]\n${site}[site.b]\nkind = "dir"\nroot = "/"\nlisten = "/b"\nmax-processes = "8"\nenv = []\n`,
    );
    assert.deepEqual(
      sites.map(({ maxProcesses, queueTimeoutMs, env }) => [maxProcesses, queueTimeoutMs, [...env]]),
      [
        [4, 0, [['A', '1']]],
        [8, 0, []],
      ],
    );
  });

  it('has numbers without quotes, whether the option has a number by default or not', async () => {
    const { sites, maxProcessesTotal } = await read(
      `max-processes-total = 64\n${site}max-connections = 100\nnice = 7\nmax-cpu = 0\n`,
    );
    assert.deepEqual([maxProcessesTotal, sites[0]?.maxConnections, sites[0]?.limits.niceness], [64, 100, 7]);
    assert.deepEqual(await problems(`${site}max-memory = 100\nsocket-mode = 660\n`), [
      '5:1: [site.a] max-memory = 100: expected a size with its unit, as in 512b, 64kb or 1mb',
      '6:1: [site.a] socket-mode = 660: expected text in quotes, as in "0660"',
    ]);
  });

  it('is overridden by the command line where that is about the whole daemon', async () => {
    const { log, pidFile } = await read(
      `log-level = "debug"\npid-file = "pid"\n${site}`,
      new Map([['pid-file', 'mine']]),
    );
    assert.deepEqual([log.level, pidFile], ['debug', `${process.cwd()}/mine`]);
  });

  it('can say whatever an option can', async () => {
    const strings = ({ form }: Option<unknown>): string =>
      form === 'list' ? '["/"]' : form === 'flag' ? 'false' : '"/"';
    for (const kind of siteKindNames) {
      const keys = rowsOf(siteKinds[kind]).map((row) => `${row.name} = ${strings(row)}\n`);
      const wrong = await problems(`[site.a]\nkind = "${kind}"\nlisten = "/a"\n${keys.join('')}`);
      assert.deepEqual(
        wrong.filter((line) => /no such key|expected (?:text|true)|kind/.test(line)),
        [],
        kind,
      );
    }
  });

  it('is refused where a list is empty without which a site serves nothing', async () => {
    const said = await problems(
      '[site.a]\nkind = "dir"\nroot = []\nlisten = []\n[site.b]\nkind = "worker"\ncommand = []\nlisten = "/b"\n',
    );
    assert.deepEqual(said, [
      '3:1: [site.a] root = []: this is empty; expected a value',
      '4:1: [site.a] listen = []: this is empty; expected a value',
      '7:1: [site.b] command = []: this is empty; expected a value',
    ]);
  });

  it('is refused as a whole: all that is wrong is told, from top to bottom', async () => {
    assert.deepEqual(
      await problems('max-prozesses = 3\n[site.a]\nkind = "dir"\nlisten = "/a"\nrot = 1\n[x]\n'),
      [
        '1:1: max-prozesses = 3: there is no such key; did you mean max-processes?',
        '2:1: [site.a] root is missing; expected root = ["…"]',
        '5:1: [site.a] rot = 1: there is no such key; did you mean root?',
        '6:1: [x] there is no such section; expected [site.NAME]',
      ],
    );
  });

  it('is refused where it can’t be read, or says nothing', async () => {
    assert.throws(() => readConfigurationFile(`${directory}/missing`, new Map()), {
      code: 'ERR_START',
      message: new RegExp(
        `^--config ${directory}/missing: there is no such file; see fcgi2cgi\\.toml\\(5\\)`,
      ),
    });
    assert.deepEqual(await problems('# nothing\n'), [
      '1:1: there is no site; expected a section [site.NAME], with its kind and where it listens',
    ]);
  });
});

const oneOf = 'expected one of "error", "warn", "info", "debug"';
const duration = 'expected a duration with its unit, as in 500ms, 30s, 5m or 1h (at most 24d), or 0 for none';
const forms = 'expected unix:/path, /path, HOST:PORT, [v6]:PORT, fd:N or systemd[:NAME]';

/** Each a line that is put before the first section (`top`) or into a site of kind `dir`, and all that is said of it. */
const mistakes: readonly (readonly [what: string, where: 'top' | 'site', line: string, said: string])[] = [
  ['a key that there is not', 'top', 'colour = "red"', 'colour = "red": there is no such key'],
  [
    'a key with a typing error',
    'site',
    'max-ques = 1',
    'max-ques = 1: there is no such key; did you mean max-queue?',
  ],
  ['a key of a key', 'site', 'max.queue = 1', 'max.queue = 1: there is no such key; did you mean max-queue?'],
  ['text for a switch', 'top', 'daemon = "yes"', 'daemon = "yes": expected true or false'],
  ['a number for text', 'top', 'pid-file = 5', 'pid-file = 5: expected text in quotes'],
  ['a list for text', 'site', 'socket-group = ["a"]', 'socket-group = ["a"]: expected text in quotes'],
  ['a table for text', 'site', 'socket-group = {}', 'socket-group = {}: expected text in quotes'],
  [
    'a date for text',
    'site',
    'socket-group = 2026-01-01',
    'socket-group = 2026-01-01: expected text in quotes',
  ],
  [
    'a number for permissions',
    'site',
    'socket-mode = 0o660',
    'socket-mode = 0o660: expected text in quotes, as in "0660"',
  ],
  [
    'wrong permissions',
    'site',
    'socket-mode = "999"',
    'socket-mode = "999": expected permissions in octal, as in 0660',
  ],
  [
    'a number in a list',
    'site',
    'pass-env = ["A", 5]',
    'pass-env = 5: expected text in quotes, or a list of such',
  ],
  ['a number for a list', 'site', 'pass-env = 5', 'pass-env = 5: expected text in quotes, or a list of such'],
  ['an empty value', 'top', 'pid-file = ""', 'pid-file = "": this is empty; expected a value'],
  ['an empty value in a list', 'site', 'env = [""]', 'env = "": this is empty; expected a value'],
  [
    'a choice that there is not',
    'top',
    'log-level = "inof"',
    `log-level = "inof": ${oneOf}; did you mean info?`,
  ],
  [
    'a choice that is far off',
    'top',
    'log-level = 7',
    `log-level = 7: expected text in quotes, as in "info"`,
  ],
  ['a duration without its unit', 'site', 'kill-grace = 5', `kill-grace = 5: ${duration}`],
  ['a default that can’t be', 'top', 'kill-grace = "5"', `kill-grace = "5": ${duration}`],
  [
    'a size without its unit',
    'site',
    'hold-during-upload = 5',
    'hold-during-upload = 5: expected a size with its unit, as in 512b, 64kb or 1mb',
  ],
  [
    'a number that is too small',
    'site',
    'max-processes = 0',
    'max-processes = 0: expected a whole number, 1 or more',
  ],
  [
    'a number that is not whole',
    'site',
    'max-processes = 1.5',
    'max-processes = 1.5: expected a whole number, 1 or more',
  ],
  ['a variable without a value', 'site', 'env = ["A=", "B"]', 'env = "B": expected NAME=VALUE'],
  [
    'a host’s name for its address',
    'top',
    'allow-from = "h"',
    'allow-from = "h": expected an IP address or ADDRESS/BITS, as in 192.0.2.0/24',
  ],
  [
    'a site’s key outside',
    'top',
    'root = "/"',
    'root = "/": this is a key of a site; expected in a section [site.NAME]',
  ],
  [
    'listeners of all sites',
    'top',
    'listen = "/a"',
    'listen = "/a": this is a key of a site; expected in a section [site.NAME]',
  ],
  [
    'a key of the daemon in a site',
    'site',
    'pid-file = "/p"',
    'pid-file = "/p": this is a key of the whole daemon; expected before the first section',
  ],
  [
    'a key of another kind',
    'site',
    'repos = "/r"',
    'repos = "/r": this is a key of kind "hg", and the site is of kind "dir"',
  ],
  [
    'a daemon whose log nobody sees',
    'top',
    'daemon = true',
    'daemon = true: needs a file for its log, since nobody reads its standard error: add for example --log-file /var/log/fcgi2cgi.log',
  ],
];

describe('A mistake in a configuration file is told with its line and column, what was found, and what was expected:', () => {
  for (const [what, where, line, said] of mistakes) {
    it(what, async () => {
      const text = where === 'top' ? `\n${line}\n${site}` : `${site}${line}\n`;
      const [place, section] = where === 'top' ? ['2:1', ''] : ['5:1', '[site.a] '];
      const [only = '', ...more] = await problems(text);
      assert.deepEqual(more, []);
      // What is wrong in a list has the place of that item.
      assert.equal(only.replace(/^5:\d+:/, '5:1:'), `${place}: ${section}${said}`);
    });
  }

  it('a kind that there is not, or none, and nothing that only a kind could want', async () => {
    const kinds = Object.keys(siteKinds);
    const listed = kinds.map((kind) => `"${kind}"`);
    assert.deepEqual(await problems('[site.a]\nkind = "drr"\nlisten = "/a"\nroot = "/"\n'), [
      `2:1: [site.a] kind = "drr": expected one of ${listed.join(', ')}; did you mean dir?`,
    ]);
    assert.deepEqual(await problems('[site.a]\nlisten = "/a"\nroot = "/"\n'), [
      `1:1: [site.a] kind is missing; expected kind = ${listed.join(' or ')}`,
    ]);
  });

  it('nowhere to listen, and no address', async () => {
    assert.deepEqual(await problems('[site.a]\nkind = "dir"\nroot = "/"\n'), [
      '1:1: [site.a] listen is missing; expected listen = ["…"]',
    ]);
    assert.deepEqual(await problems('[site.a]\nkind = "dir"\nroot = "/"\nlisten = [\n  "/a",\n  "b"\n]\n'), [
      `6:3: [site.a] listen = "b": this is no address; ${forms}`,
    ]);
  });

  it('an address that another site has, in whatever form, or the same one', async () => {
    assert.deepEqual(
      await problems(
        `${site}[site.b]\nkind = "dir"\nroot = "/"\nlisten = ["unix:/a", "[::1]:1", "[::1]:1"]\n`,
      ),
      [
        '8:11: [site.b] listen = "unix:/a": [site.a] in line 4 listens there already; expected an address of its own',
        '8:33: [site.b] listen = "[::1]:1": [site.b] in line 8 listens there already; expected an address of its own',
      ],
    );
    assert.deepEqual(
      await problems('[site.a]\nkind = "dir"\nroot = "/"\nlisten = ["127.0.0.1:0", "127.0.0.1:0"]\n'),
      [],
    );
  });

  it('a section that is none, or has no name of its own', async () => {
    for (const header of ['[sites.a]', '[a]', '[site]', '[site.""]', '[[site.a]]']) {
      assert.deepEqual(await problems(`${header}\n${site.replace('.a', '.z')}`), [
        `1:1: ${header} there is no such section; expected [site.NAME]`,
      ]);
    }
  });

  it('what is no TOML, at its first place', async () => {
    const cases = [
      ['listen = /a', '1:10: this is no TOML: Unexpected character; found "listen = /a"'],
      ['[site.a', '1:8: this is no TOML: Unterminated table-key; found "[site.a"'],
      ['\na = "x', '2:7: this is no TOML: Unterminated string constant; found "a = \\"x"'],
    ] as const;
    for (const [text, said] of cases) assert.deepEqual(await problems(text), [said]);
    const [twice = ''] = await problems(`${site}root = "/b"\n`);
    assert.match(
      twice,
      /^5:\d+: this is no TOML: Defining a key multiple times is invalid; found "root = \\"\/b\\""$/,
    );
  });

  it('an option of the command line by its own name', async () => {
    await writeFile(file, site);
    assert.throws(() => readConfigurationFile(file, new Map([['daemon', true]])), OptionError);
    assert.match(
      (await problems(site, new Map([['stop-grace', '5']]))).join(),
      /^--stop-grace 5: expected a duration/,
    );
  });
});

describe('What a site could not start for', () => {
  it('is told with the line that is at fault', async () => {
    const { sites } = await read(`kill-grace = "1s"\n${site}`);
    const { locate } = sites[0] ?? assert.fail();
    const located = (option: string, value: string): string | undefined =>
      locate?.(new OptionError('ERR_START', { option, value, why: 'is gone' })).message.replace(file, '');
    assert.equal(located('root', '/'), ':4:1: [site.a] root = "/": is gone');
    assert.equal(located('kill-grace', '1s'), ':1:1: kill-grace = "1s": is gone');
    assert.equal(located('hg', 'hg'), ':2:1: [site.a] hg = "hg": is gone');
  });
});
