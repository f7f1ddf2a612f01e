/**
 * The program, its help, the manual page and README.md say the same. What fails here names each piece that is missing,
 * and where; nothing about a new command or option needs to be told to these tests.
 */

import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { before, describe, it } from 'node:test';

import { mayBecomeVariable } from '../../src/cgi/meta-variables.js';
import { ExitStatus } from '../../src/cli/exit-status.js';
import { readConfigurationFile } from '../../src/cli/file/configuration-file.js';
import { keysOfKind, topKeys } from '../../src/cli/file/keys.js';
import { siteKinds } from '../../src/cli/site-kinds.js';
import { requestEnds } from '../../src/observe/access-log.js';
import {
  describedOptions,
  filesBelow,
  type Help,
  type HelpEntry,
  helpOfCommands,
  items,
  manual,
  parts,
  prose,
  readme,
  readmeTable,
  section,
  sources,
  textOf,
} from '../helpers/documents.js';
import { temporaryDirectory } from '../helpers/temporary.js';

/** An option of the help, where it was first seen, and the heading of the manual's OPTIONS that is to describe it. */
interface Option extends HelpEntry {
  readonly command: string;
  readonly heading: string;
}

const builtIn = ['help', 'version'];
/** Of gitweb.cgi. */
const ofOthers = ['fcgi'];

/** What the manual's OPTIONS say under each heading. */
const described = new Map(
  [...parts(section('OPTIONS'), 'Ss')].map(([heading, text]) => [heading, describedOptions(text)]),
);
const commandItems = new Map(items(section('COMMANDS'), /^Cm (\w+)/));
const keyItems = items(section('CONFIGURATION FILE'), /^Va (.*)/).flatMap(([names]) => names.split(' , '));

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

describe('The options in the help, the manual and README.md', () => {
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
      // A command's own options are the last in its help.
      for (const [group, entries] of [...help].reverse()) {
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

  it('that are named anywhere in the manual are there', () => {
    const named = matches(manual, /(?:\bFl -|(?<![\w-])--)([a-z][a-z-]*)/g);
    const known = [...options.map(({ name }) => name), ...builtIn, ...ofOthers];
    assert.ok(named.length > options.length);
    assert.deepEqual(
      sorted(named).filter((name) => !known.includes(name)),
      [],
    );
  });

  it('are named in README.md', () => {
    complete(
      sorted(options.map(({ name }) => name))
        .filter((name) => !new RegExp(`--${name}(?![\\w-])`).test(readme))
        .map((name) => `README.md: lacks --${name}`),
    );
  });

  it('have their defaults in the table of README.md', () => {
    const rows = readmeTable('option').map(([names = '', defaults = '']) => ({
      names: matches(names, /--([a-z-]+)/g),
      defaults: defaults.split(', '),
    }));
    complete(
      options.flatMap(({ name, default: shown = '' }) => {
        const value = /^"(.+)"$/.exec(shown)?.[1];
        const found = rows.filter((row) => row.names.includes(name));
        return value === undefined || found.some(({ defaults }) => defaults.includes(value))
          ? []
          : [`README.md, the table of options: no row has --${name} and the default ${value}`];
      }),
    );
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
        return (help.get('Options') ?? []).flatMap(({ name, isRequired, takesValue }) => {
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
    ...Object.fromEntries(Object.keys(siteKinds).map((kind) => [kind, keysOfKind(kind)])),
  };

  it('are options, or described in the manual', () => {
    const names = new Set(options.map(({ name }) => name));
    complete(
      Object.entries(keys).flatMap(([kind, table]) =>
        Object.keys(table)
          .filter((key) => !names.has(key) && !keyItems.includes(key))
          .map((key) => `the manual, CONFIGURATION FILE: lacks ".It Va ${key}", of kind "${kind}"`),
      ),
    );
  });

  it('that are no options are in the file of README.md', () => {
    complete(
      keyItems
        .filter((key) => !new RegExp(`^${key} = `, 'm').test(readme))
        .map((key) => `README.md, the configuration file: lacks ${key}`),
    );
  });

  const [, inManual = ''] =
    /^\.Bd -literal -offset indent\n(# \/etc\/.*?)^\.Ed$/ms.exec(section('CONFIGURATION FILE')) ?? [];
  const [, inReadme = ''] = /^```toml\n(.*?)^```$/ms.exec(readme) ?? [];
  for (const [where, text] of Object.entries({ 'the manual': inManual, 'README.md': inReadme })) {
    it(`are right in the file of ${where}`, async () => {
      const file = `${await temporaryDirectory()}/sites.toml`;
      await writeFile(file, text);
      assert.ok(readConfigurationFile(file, {}).sites.length > 1);
    });
  }
});

describe('The error codes of the source, the manual and README.md', () => {
  const codes = matches(sources.get('src/errors.ts') ?? '', /^ +\| '(ERR_[A-Z_]+)'/gm);
  const explained = new Map(items(section('DIAGNOSTICS'), /^Er (ERR_[A-Z_]+)$/m));

  it('are used', () => {
    const used = [...sources].flatMap(([path, text]) =>
      path === 'src/errors.ts' ? [] : matches(text, /'(ERR_[A-Z_]+)'/g),
    );
    same(used, 'the source', codes, 'an error code of src/errors.ts');
  });

  it('are explained in the manual, with what to do', () => {
    same([...explained.keys()], 'the manual, DIAGNOSTICS,', codes, 'an error code of src/errors.ts');
    complete(
      [...explained]
        .filter(([, text]) => (prose(text).match(/[.:;] /g) ?? []).length < 2)
        .map(
          ([code]) => `the manual, DIAGNOSTICS, ${code}: what to do is missing: expected a second sentence`,
        ),
    );
  });

  it('are in README.md', () => {
    same(matches(readme, /\b(ERR_[A-Z_]+)/g), 'README.md', codes, 'an error code of src/errors.ts');
  });
});

describe('The signals of the source, the manual and README.md', () => {
  // Those that are sent are not meant; those of programs are not looked for.
  const signals = [...sources]
    .filter(([path]) => /^src\/(daemon|cli)\//.test(path))
    .flatMap(([, text]) => matches(text.replaceAll(/\bkill\([^)]*\)/g, ''), /'(SIG[A-Z0-9]+)'/g));

  it('are explained in the manual', () => {
    const explained = items(section('SIGNALS'), /^Dv (.*)$/m).flatMap(([names]) => names.split(' , '));
    same(explained, 'the manual, SIGNALS,', signals, 'a signal that the daemon takes');
  });

  it('are in README.md', () => {
    complete(
      sorted(signals)
        .filter((name) => !new RegExp(`\\b${name}\\b`).test(readme))
        .map((name) => `README.md: lacks ${name}`),
    );
  });
});

describe('The exit statuses of the source, the manual and README.md', () => {
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

  it('are in the table of README.md', () => {
    const rows = readmeTable('exit status').flatMap(([cell = '']) => cell.split(', '));
    same(rows, 'README.md, the table of exit statuses,', statuses, 'one of src/cli/exit-status.ts');
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

  it('as configurations of web servers are all in README.md', () => {
    complete(
      installed
        .filter((path) => /^scripts\/webservers\/[^/]*$/.test(path) && !readme.includes(path))
        .map((path) => `README.md: lacks ${path}`),
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
    assert.deepEqual(words('Cm'), requestEnds);
    for (const end of requestEnds) assert.ok(readme.includes(`\`${end}\``), `README.md lacks ${end}`);
  });

  it('explains every HTTP status that the bridge answers with, and no other', () => {
    const sent = [...sources]
      .filter(([path]) => path.startsWith('src/sites/') || path.startsWith('src/daemon/'))
      .flatMap(([, text]) => matches(text.replaceAll(/^ *(?:\/?\*|\/\/).*$/gm, ''), /\b([45]\d\d)\b/g));
    const explained = items(section('DESCRIPTION'), /^(\d{3})$/m).map(([name]) => name);
    same(explained, 'the manual, DESCRIPTION,', sent, 'a status that the bridge answers with');
  });

  it('calls only those params dropped that are', () => {
    const [, list = ''] = section('DESCRIPTION').split('These params are dropped');
    const dropped = [...(list.split('.Cm hg\n')[0] ?? '').matchAll(/^\.Ev ([A-Z0-9_]+)(\*?)/gm)];
    assert.ok(dropped.length > 0);
    for (const [, name = '', star = ''] of dropped) {
      assert.ok(!mayBecomeVariable(star ? `${name}X` : name), `${name}${star} is not dropped`);
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
