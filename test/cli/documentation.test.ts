/**
 * The program, its help, the manual page and README.md say the same. What fails here names each piece that is missing,
 * and where; nothing about a new command or option needs to be told to these tests.
 */

import assert from 'node:assert/strict';
import { basename } from 'node:path';
import { before, describe, it } from 'node:test';

import { mayBecomeVariable } from '../../src/cgi/invocation.js';
import { ExitStatus } from '../../src/cli/exit.js';
import { keysOfKind, topKeys } from '../../src/cli/toml-file/keys.js';
import { siteKindNames } from '../../src/cli/options/site-kinds.js';
import { results, resultWords } from '../../src/base/results.js';
import { saysWho } from '../../src/sites/request-path.js';
import {
  describedOptions,
  filesBelow,
  type Help,
  type HelpEntry,
  helpOfCommands,
  items,
  parts,
  prose,
  readme,
  section,
  sources,
  textOf,
} from '../helpers/documents.js';
import { pages } from '../helpers/examples.js';

/** An option of the help, where it was first seen, and the heading of the manual's OPTIONS that is to describe it. */
interface Option extends HelpEntry {
  readonly command: string;
  readonly heading: string;
}

const builtIn = ['help', 'version'];
/** Of gitweb.cgi, hg serve, git and scripts/bench. */
const ofOthers = [
  ...['fcgi', 'prefix', 'mirror', 'file', 'short', 'concurrency', 'against', 'rounds'],
  ...['expire', 'all', 'prune'],
];

/** What the manual's OPTIONS say under each heading. */
const described = new Map(
  [...parts(section('OPTIONS'), 'Ss')].map(([heading, text]) => [heading, describedOptions(text)]),
);
const commandItems = new Map(items(section('COMMANDS'), /^Cm (\w+)/));
const keyItems = items(textOf('src/man/fcgi2cgi.toml.5'), /^Va (.*)/).flatMap(([names]) =>
  names.split(' , '),
);

let helps: ReadonlyMap<string, Help>;
/** Each option once, with the first command that has it with this description: one name may mean different things. */
let options: readonly Option[];

before(async () => {
  helps = await helpOfCommands();
  const all = new Map<string, Option>();
  for (const [command, help] of helps) {
    for (const [group, entries] of help) {
      const heading = described.has(group) ? group : command;
      for (const entry of group === 'Positionals' ? [] : entries) {
        const key = `${entry.name} ${entry.description}`;
        if (!builtIn.includes(entry.name) && !all.has(key)) all.set(key, { ...entry, command, heading });
      }
    }
  }
  options = [...all.values()];
});

const sorted = (names: Iterable<string>): string[] => [...new Set(names)].sort();

/** Fails with one line for each piece that is missing. */
function complete(missing: readonly string[]): void {
  assert.ok(missing.length === 0, `\n${missing.join('\n')}\n`);
}

/** Fails unless both have the same names; each has to say where it was looked. */
function same(found: readonly string[], where: string, expected: readonly string[], what: string): void {
  assert.ok(expected.length > 0, `there is no ${what}`);
  complete([
    ...sorted(expected)
      .filter((name) => !found.includes(name))
      .map((name) => `${where} lacks ${name}, ${what}`),
    ...sorted(found)
      .filter((name) => !expected.includes(name))
      .map((name) => `${where} has ${name}, which is not ${what}`),
  ]);
}

const matches = (text: string, pattern: RegExp): string[] =>
  [...text.matchAll(pattern)].map(([, found = '']) => found);

/** What the manual says of an option. */
const textOfOption = ({ heading, name }: Option): string => described.get(heading)?.get(name) ?? '';

describe('The options in the help and the manual', () => {
  it('are described in the manual, under the heading of their command or group', () => {
    complete(
      options
        .filter((option) => textOfOption(option) === '')
        .map(
          ({ name, heading, command }) =>
            `the manual, OPTIONS, ${heading}: lacks ".It Fl -${name}", an option of fcgi2cgi ${command}`,
        ),
    );
  });

  it('are in the manual in the order of the help, and no others are', () => {
    const inHelp = new Map<string, string[]>([['Other', builtIn]]);
    for (const [command, help] of helps) {
      for (const [group, entries] of help) {
        const heading = described.has(group) ? group : command;
        const names = inHelp.get(heading) ?? [];
        inHelp.set(heading, names);
        for (const { name } of entries) {
          if (!names.includes(name) && !builtIn.includes(name)) names.push(name);
        }
      }
    }
    complete(
      [...described].flatMap(([heading, texts]) => {
        const expected = inHelp.get(heading) ?? [];
        const found = [...texts.keys()];
        const extra = found.filter((name) => !expected.includes(name));
        if (extra.length > 0) {
          return [`the manual, OPTIONS, ${heading}: the help has no --${extra.join(', no --')}`];
        }
        const ordered = expected.filter((name) => found.includes(name));
        return found.join() === ordered.join()
          ? []
          : [`the manual, OPTIONS, ${heading}: the order of the help is ${ordered.join(', ')}`];
      }),
    );
  });

  it('have the same defaults in the help and the manual', () => {
    complete(
      options.flatMap((option) => {
        const text = textOfOption(option);
        const where = `the manual, OPTIONS, ${option.heading}, --${option.name}`;
        const value = option.takesValue ? option.default?.replace(/^"(.*)"$/, '$1') : undefined;
        if (value === undefined) {
          return text.includes('The default is') ? [`${where}: the help has no default`] : [];
        }
        const sentence = `The default is ${value === '' ? 'empty' : value}`;
        return text.includes(`${sentence}.`) || text.includes(`${sentence},`)
          ? []
          : [`${where}: lacks "${sentence}."`];
      }),
    );
  });

  it('are required, repeatable and made from the same words in the help and the manual', () => {
    complete(
      options.flatMap((option) => {
        const { isRequired, isRepeatable, choices } = option;
        const [text, value] = [textOfOption(option), /^"(.*)"$/.exec(option.default ?? '')?.[1] ?? ''];
        const faults: [boolean, string][] = [
          [text.includes(' Required.') !== isRequired, `"Required." is ${isRequired ? 'missing' : 'wrong'}`],
          [
            text.includes('(repeatable)') !== isRepeatable,
            `"(repeatable)" is ${isRepeatable ? 'missing' : 'wrong'}`,
          ],
          [!text.includes(choices.join(' | ')), `the choices are "Cm ${choices.join(' | ')}"`],
          [/^\d+(ms|s|m|h|d)$/.test(value) && !text.includes(' Ar duration '), 'it is an "Ar duration"'],
          [/^\d+(b|kb|mb|gb)$/.test(value) && !text.includes(' Ar size '), 'it is an "Ar size"'],
        ];
        return faults
          .filter(([isFault]) => isFault)
          .map(([, what]) => `the manual, OPTIONS, ${option.heading}, --${option.name}: ${what}`);
      }),
    );
  });

  it('that are named anywhere in the manual pages and README.md are there', () => {
    const known = [...options.map(({ name }) => name), ...builtIn, ...ofOthers];
    for (const text of [readme, ...pages.map(textOf)]) {
      const named = matches(text, /(?:\bFl -|(?<![\w-])--)([a-z][a-z-]*)/g);
      assert.deepEqual(
        sorted(named).filter((name) => !known.includes(name)),
        [],
      );
    }
  });
});

describe('The commands in the help, the manual and README.md', () => {
  it('are in the synopsis, in the order of the help', () => {
    assert.deepEqual(matches(section('SYNOPSIS'), /^\.Nm\n\.Cm (\w+)$/gm), [...helps.keys()]);
  });

  it('have the options of their own in the synopsis, in brackets unless they are required', () => {
    complete(
      [...helps].flatMap(([command, help]) => {
        const [, usage = ''] = section('SYNOPSIS').split(`.Cm ${command}\n`);
        const lines = (usage.split('\n.Nm')[0] ?? '').split('\n');
        const own = [...(help.get('Required') ?? []), ...(help.get('Options') ?? [])];
        return own.flatMap(({ name, isRequired, takesValue }) => {
          const start = `${isRequired ? '.Fl' : '.Op Fl'} -${name}`;
          const isThere = lines.some((line) => line.startsWith(takesValue ? `${start} ` : start));
          // Alternatives stand on one line.
          const isNamed = !isRequired && lines.some((line) => line.includes(`Fl -${name} `));
          return isThere || isNamed || builtIn.includes(name)
            ? []
            : [`the manual, SYNOPSIS, ${command}: no line begins with "${start}"`];
        });
      }),
    );
  });

  it('are described in the manual, with their arguments and what one chooses from', () => {
    assert.deepEqual([...commandItems.keys()], [...helps.keys()]);
    complete(
      [...helps].flatMap(([command, help]) => {
        const [, usage = ''] = section('SYNOPSIS').split(`.Cm ${command}\n`);
        const text = `${usage.split('\n.Nm')[0] ?? ''}${commandItems.get(command) ?? ''}`;
        return (help.get('Positionals') ?? []).flatMap(({ name, choices }) => [
          ...(new RegExp(`Ar ${name}s?\\b`).test(text)
            ? []
            : [`the manual, ${command}: its argument "Ar ${name}" is nowhere`]),
          ...choices
            .filter((choice) => command !== 'explain' && !new RegExp(`^\\.Cm.* ?${choice}`, 'm').test(text))
            .map((choice) => `the manual, COMMANDS, ${command}: lacks "Cm ${choice}"`),
        ]);
      }),
    );
  });

  it('are named in README.md', () => {
    complete(
      [...helps.keys()]
        .filter((name) => !new RegExp(`fcgi2cgi ${name}\\b`).test(readme))
        .map((name) => `README.md: lacks "fcgi2cgi ${name}"`),
    );
  });
});

describe('The keys of the configuration file', () => {
  const keys = {
    '': topKeys,
    ...Object.fromEntries(siteKindNames.map((kind) => [kind, keysOfKind(kind)])),
  };

  it('are options, or described in the manual', () => {
    const names = new Set(options.map(({ name }) => name));
    complete(
      Object.entries(keys).flatMap(([kind, table]) =>
        [...table.keys()]
          .filter((key) => !names.has(key) && !keyItems.includes(key))
          .map((key) => `fcgi2cgi.toml(5): lacks ".It Va ${key}", of kind "${kind}"`),
      ),
    );
  });
});

describe('The error codes of the source and the manual', () => {
  const ofResults = Object.values(results).flatMap(({ code = [] }) => code);
  const ofOthers = matches(sources.get('src/base/errors.ts') ?? '', /^ +\| '(ERR_[A-Z_]+)'/gm);
  const codes = [...new Set([...ofOthers, ...ofResults])];
  const explained = new Map(items(section('DIAGNOSTICS'), /^Er (ERR_[A-Z_]+)$/m));

  it('are used', () => {
    const used = [...sources].flatMap(([path, text]) =>
      path === 'src/base/errors.ts' ? [] : matches(text, /'(ERR_[A-Z_]+)'/g),
    );
    same(used, 'the source', codes, 'an error code of src/base/errors.ts');
  });

  it('are explained in the manual, with what to do', () => {
    same([...explained.keys()], 'the manual, DIAGNOSTICS,', codes, 'an error code of src/base/errors.ts');
    complete(
      [...explained]
        .filter(([, text]) => (prose(text).match(/[.:;] /g) ?? []).length < 2)
        .map(
          ([code]) => `the manual, DIAGNOSTICS, ${code}: what to do is missing: expected a second sentence`,
        ),
    );
  });
});

describe('The signals of the source and the manual', () => {
  // Those that are sent are not meant; those of programs are not looked for.
  const signals = [...sources]
    .filter(([path]) => /^src\/(daemon|cli)\//.test(path))
    .flatMap(([, text]) => matches(text.replaceAll(/\bkill\([^)]*\)/g, ''), /'(SIG[A-Z0-9]+)'/g));

  it('are explained in the manual', () => {
    const explained = items(section('SIGNALS'), /^Dv (.*)$/m).flatMap(([names]) => names.split(' , '));
    same(explained, 'the manual, SIGNALS,', signals, 'a signal that the daemon takes');
  });
});

describe('The exit statuses of the source and the manual', () => {
  const statuses = Object.values(ExitStatus).map(String);

  it('have their names in the source', () => {
    complete(
      [...sources].flatMap(([path, text]) =>
        matches(text, /((?:exitCode = |exitStatus: |process\.exit\()\d+)/g).map(
          (found) => `${path}: ${found} has no name; expected one of src/cli/exit-status.ts`,
        ),
      ),
    );
  });

  it('are explained in the manual', () => {
    const explained = matches(section('EXIT STATUS'), /^\.It (\d+)$/gm);
    same(explained, 'the manual, EXIT STATUS,', statuses, 'an exit status of src/cli/exit-status.ts');
  });
});

describe('The files that are shipped', () => {
  const { files } = JSON.parse(textOf('package.json')) as { files: string[] };
  const installed = [...filesBelow('scripts/'), ...filesBelow('rc.d/')].filter((path) =>
    files.some((file) => path.startsWith(file)),
  );

  it('are all in the manual, by themselves or by their directory', () => {
    const named = items(section('FILES'), /^Pa (\S+)/).map(([path]) => path);
    complete(
      installed
        .filter((path) => !named.some((name) => path === name || path.startsWith(`${name}/`)))
        .map((path) => `the manual, FILES: lacks ".It Pa ${path}"`),
    );
    complete(
      named
        .filter((name) => name.startsWith('scripts/') || name.startsWith('rc.d'))
        .filter((name) => !installed.some((path) => path === name || path.startsWith(`${name}/`)))
        .map((name) => `the manual, FILES: ${name} is not shipped`),
    );
  });

  const configurations = installed.filter((path) => /^scripts\/webservers\/[^/]*$/.test(path));

  it('as configurations that ask for a password say that pushes need --trust-remote-user', () => {
    const asking = configurations.filter((path) => /htpasswd|password THE-HASH|basicauth/.test(textOf(path)));
    assert.ok(asking.length > 10);
    complete(
      asking
        .filter((path) => !textOf(path).includes('--trust-remote-user'))
        .map((path) => `${path}: lacks --trust-remote-user`),
    );
  });

  it('as configurations of web servers are all in fcgi2cgi-publishing(7) or fcgi2cgi-cluster(7)', () => {
    const text = ['publishing', 'cluster'].map((name) => textOf(`src/man/fcgi2cgi-${name}.7`)).join('');
    complete(configurations.map((path) => basename(path)).filter((name) => !text.includes(name)));
  });
});

describe('README.md', () => {
  it('has at most 170 lines and 13 kB', () => {
    assert.ok(readme.split('\n').length <= 171 && readme.length <= 13_000);
  });

  it('has links to files that are there', () => {
    const links = matches(readme, /\]\(([^)#]+)\)/g);
    assert.ok(links.length > 10);
    for (const link of links) textOf(link);
  });
});

describe('The manual pages', () => {
  it('show each “No” that begins a name or a quotation, which would be a macro of that name', () => {
    complete(
      pages.flatMap((path) =>
        matches(textOf(path), /^(\.[A-Z][a-z] No .*)$/gm).map((line) => `${path}: write \\&No: ${line}`),
      ),
    );
  });
});

describe('package.json', () => {
  it('has every manual page for man(1)', () => {
    const { man } = JSON.parse(textOf('package.json')) as { man: string[] };
    assert.deepEqual(
      man,
      pages.map((path) => `./${path}`),
    );
  });
});

describe('The manual page', () => {
  it('has every field of the access log, in its order, and every word that may end its lines', () => {
    const text = section('ACCESS LOG');
    const [, json = ''] = /const line = \{\n(.*?)\};/s.exec(textOf('src/observe/access-log.ts')) ?? [];
    const fields = matches(json, /^ +(\w+)[:,]/gm);
    assert.ok(fields.length > 0);
    const words = (macro: string): string[] =>
      matches(text, new RegExp(`^\\.It ${macro} (.*)$`, 'gm')).flatMap((names) => names.split(' , '));
    assert.deepEqual(words('Va'), fields);
    assert.deepEqual(words('Cm'), resultWords);
  });

  it('explains every HTTP status that the bridge answers with, and no other', () => {
    const sent = [...sources]
      .filter(([path]) => path.startsWith('src/sites/') || path.startsWith('src/daemon/'))
      .flatMap(([, text]) =>
        matches(text.replaceAll(/^ *(?:\/?\*|\/\/).*$|^const [A-Z_]+ = \d+;$/gm, ''), /\b([45]\d\d)\b/g),
      );
    const ofResults = Object.values(results)
      .flatMap(({ status = [] }) => status)
      .map(String);
    const explained = items(section('DESCRIPTION'), /^(\d{3})$/m).map(([name]) => name);
    same(
      explained,
      'the manual, DESCRIPTION,',
      [...sent, ...ofResults],
      'a status that the bridge answers with',
    );
  });

  it('explains the code of every result, with the option that sets its limit and the status of its page', () => {
    const diagnostics = section('DIAGNOSTICS');
    complete(
      Object.entries(results).flatMap(([name, { code, option, status }]) => {
        if (code === undefined) return [];
        const [, text] = new RegExp(`^\\.It Er ${code}\\n(.*?)^\\.(?:It|El)`, 'ms').exec(diagnostics) ?? [];
        if (text === undefined) return [`the manual, DIAGNOSTICS, lacks ${code} (${name})`];
        return [
          option !== undefined && !text.includes(`.Fl -${option}`)
            ? `${code} lacks --${option} (${name})`
            : '',
          status !== undefined && !text.includes(String(status))
            ? `${code} lacks ${String(status)} (${name})`
            : '',
        ].filter((lack) => lack !== '');
      }),
    );
  });

  it('has pages for visitors, and names the option that sets a limit in the log alone', () => {
    for (const [name, { page = '', message, reason, code, option }] of Object.entries(results)) {
      assert.doesNotMatch(page, /--|\bprogram\b|\bbridge\b|\blog\b/, name);
      // Where an error brings its own message, `code` says of which kind it is.
      if (option !== undefined && code === undefined)
        assert.match(`${message} ${reason ?? ''}`, new RegExp(`--${option}\\b`), name);
    }
  });

  it('calls only those params dropped that are', () => {
    const [, list = ''] = section('DESCRIPTION').split('These params are dropped');
    const dropped = [...(list.split('.Cm hg\n')[0] ?? '').matchAll(/^\.Ev ([A-Z0-9_]+)(\*?)/gm)];
    assert.ok(dropped.length > 0);
    for (const [, name = '', star = ''] of dropped) {
      assert.ok(!mayBecomeVariable(star ? `${name}X` : name), `${name}${star} is not dropped`);
    }
  });

  it('calls only those params dropped without --trust-remote-user that are', () => {
    const [, list = ''] = section('DESCRIPTION').split('also drop what says who somebody is');
    const dropped = [...(list.split('.Fl -env')[0] ?? '').matchAll(/^\.Ev ([A-Z0-9_]+)(\*?)/gm)];
    assert.ok(dropped.length > 0);
    for (const [, name = '', star = ''] of dropped) {
      const shown = name === 'REDIRECT_' ? `${name}REMOTE_USER` : name;
      assert.ok(saysWho(star ? `${shown}X` : shown), `${name}${star} is not dropped`);
    }
  });

  it('has the variables of the environment that the source reads', () => {
    const read = [...sources.values()].flatMap((text) => [
      ...matches(text, /process\.env\['([A-Z_]+)'\]/g),
      ...(text.includes("from 'node:os'") && text.includes('tmpdir()') ? ['TMPDIR'] : []),
    ]);
    const explained = items(section('ENVIRONMENT'), /^Ev ([A-Z_]+)$/m).map(([name]) => name);
    same(explained, 'the manual, ENVIRONMENT,', read, 'a variable that the source reads');
  });
});
