import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';

import type { Options } from 'yargs';

import { mayBecomeVariable } from '../../src/cgi/meta-variables.js';
import { readConfigurationFile } from '../../src/cli/file/configuration-file.js';
import { commonOptions } from '../../src/cli/options/common.js';
import { explainOptions, getOptions } from '../../src/cli/options/request.js';
import { serveOptions } from '../../src/cli/options/serve.js';
import { dirOptions, gitOptions, hgOptions, workerOptions } from '../../src/cli/options/sites.js';
import { requestEnds } from '../../src/observe/access-log.js';
import { runBridge } from '../helpers/bridge.js';
import { temporaryDirectory } from '../helpers/temporary.js';

const top = new URL('../../../', import.meta.url);
const textOf = (name: string): string => readFileSync(new URL(name, top), 'utf8');

/** The lines of the manual page, without its comments. */
const manual = textOf('src/fcgi2cgi.8').replaceAll(/^\.\\".*\n/gm, '');

/** What stands between a heading and the next one of its kind: `Sh` for sections, `Ss` for their parts. */
function parts(text: string, macro: 'Sh' | 'Ss'): ReadonlyMap<string, string> {
  const [, ...found] = text.split(new RegExp(`^\\.${macro} `, 'm'));
  return new Map(
    found.map((part) => {
      const end = part.indexOf('\n');
      return [part.slice(0, end), part.slice(end + 1)];
    }),
  );
}

const sections = parts(manual, 'Sh');

function section(name: string): string {
  const text = sections.get(name);
  assert.ok(text !== undefined, `the manual has no section ${name}`);
  return text;
}

/** The items of a list by the name that a macro marks, each with its text. */
function items(text: string, macro: RegExp): [name: string, text: string][] {
  return text.split(/^\.It /m).flatMap((item) => {
    const name = macro.exec(item)?.[1];
    return name === undefined ? [] : [[name, item]];
  });
}

/** The options that a text of the manual describes, in their order; what they list belongs to them. */
const optionItems = (text: string): [name: string, text: string][] =>
  text
    .split(/^\.It (?=Fl )/m)
    .flatMap((item) =>
      items(item, /^Fl (?:[a-z] , )?-([a-z-]+)/).map(([name]) => [name, item] as [string, string]),
    );

/** A piece of the manual as a sentence, without its macros. */
const prose = (text: string): string =>
  text
    .replaceAll(/^\.[A-Z][a-z] /gm, '')
    .replaceAll(/\\&/g, '')
    .replaceAll(/\s+/g, ' ');

const ofCommands: Readonly<Record<string, Readonly<Record<string, Options>>>> = {
  hg: hgOptions,
  git: gitOptions,
  dir: dirOptions,
  serve: serveOptions,
  worker: workerOptions,
  get: getOptions,
};
const options: Readonly<Record<string, Options>> = Object.assign(
  {},
  explainOptions,
  commonOptions,
  ...Object.values(ofCommands),
) as Record<string, Options>;
const builtIn = ['help', 'version'];
/** Of gitweb.cgi. */
const ofOthers = ['fcgi'];

const described = new Map(optionItems(section('OPTIONS')));

/** Every option of every command, with what the manual says of it there: one name may mean different things. */
const everyOption = Object.entries({ ...ofCommands, '': commonOptions }).flatMap(([command, own]) => {
  const texts =
    command === '' ? described : new Map(optionItems(parts(section('OPTIONS'), 'Ss').get(command) ?? ''));
  return Object.entries<Options>(own).map(
    ([name, option]) => [name, option, prose(texts.get(name) ?? '')] as const,
  );
});

/** The options under each heading of a command's help. */
async function helpOf(command: string): Promise<Map<string, string[]>> {
  const { stdout } = await runBridge([command, '--help']);
  const groups = new Map<string, string[]>();
  let group: string[] = [];
  for (const line of stdout.split('\n')) {
    const heading = /^(\w+):$/.exec(line)?.[1];
    if (heading !== undefined) groups.set(heading, (group = []));
    const option = /^ {2,}(?:-\w, )?--([a-z-]+)/.exec(line)?.[1];
    if (option !== undefined) group.push(option);
  }
  return groups;
}

/** The source of the program, by its files. */
function sources(directory: string): [path: string, text: string][] {
  const entries = readdirSync(new URL(directory, top), { withFileTypes: true });
  return entries.flatMap((entry) => {
    if (entry.isDirectory()) return sources(`${directory}${entry.name}/`);
    const path = directory + entry.name;
    return path.endsWith('.ts') ? [[path, textOf(path)] as [string, string]] : [];
  });
}

const source = sources('src/');

const sorted = (names: Iterable<string>): string[] => [...new Set(names)].sort();

describe('The manual page', () => {
  it('describes every option, under the headings and in the order of the help', async () => {
    const inManual = new Map(
      [...parts(section('OPTIONS'), 'Ss')].map(([heading, text]) => [
        heading,
        optionItems(text).map(([name]) => name),
      ]),
    );
    const { Options: ofHg = [], ...common } = Object.fromEntries(await helpOf('hg'));
    const { Options: ofGit = [] } = Object.fromEntries(await helpOf('git'));
    const { Options: ofDir = [] } = Object.fromEntries(await helpOf('dir'));
    const { Options: ofServe = [] } = Object.fromEntries(await helpOf('serve'));
    const { Options: ofGet = [] } = Object.fromEntries(await helpOf('get'));
    const { Options: ofExplain = [] } = Object.fromEntries(await helpOf('explain'));
    // What these two have as well is described with them.
    const ofExplainAlone = ofExplain.filter((name) => !(name in serveOptions) && !(name in getOptions));
    const { Options: ofWorker = [] } = Object.fromEntries(await helpOf('worker'));
    const own = (names: string[]): string[] => names.filter((name) => !builtIn.includes(name));
    assert.deepEqual(Object.fromEntries(inManual), {
      hg: own(ofHg),
      git: own(ofGit),
      dir: own(ofDir),
      serve: own(ofServe),
      get: own(ofGet),
      explain: own(ofExplainAlone),
      worker: own(ofWorker),
      ...common,
      Other: builtIn,
    });
    assert.deepEqual(sorted(described.keys()), sorted([...Object.keys(options), ...builtIn]));
  });

  it('gives every option the default that it has, and none to one that has none', () => {
    for (const [name, option, text] of everyOption) {
      const value: unknown = option.default === '' ? 'empty' : (option.default ?? option.defaultDescription);
      if (typeof value === 'string') {
        assert.ok(
          text.includes(`The default is ${value}.`) || text.includes(`The default is ${value},`),
          `--${name}: the default is ${value}, the manual has: ${text}`,
        );
      } else {
        assert.doesNotMatch(text, /The default is/, `--${name} has no default`);
      }
      assert.equal(text.includes(' Required.'), option.demandOption === true, `--${name}: is it required?`);
    }
  });

  it('says which options may be repeated, which values one chooses from, and which quantity it is', () => {
    for (const [name, option, text] of everyOption) {
      assert.equal(text.includes('(repeatable)'), option.array === true, `--${name}: is it repeatable?`);
      const choices = option.choices as readonly string[] | undefined;
      if (choices !== undefined) {
        assert.ok(text.includes(`Cm ${choices.join(' | ')} `), `--${name}: not ${choices.join(', ')}`);
      }
      const value = typeof option.default === 'string' ? option.default : '';
      if (/^\d+(ms|s|m|h|d)$/.test(value)) assert.match(text, / Ar duration /, `--${name} is a duration`);
      if (/^\d+(b|kb|mb|gb)$/.test(value)) assert.match(text, / Ar size /, `--${name} is a size`);
    }
  });

  it('names no option that there is not', () => {
    const named = [...manual.matchAll(/(?:\bFl -|(?<![\w-])--)([a-z][a-z-]*)/g)].map(([, name = '']) => name);
    assert.ok(named.length > Object.keys(options).length);
    assert.deepEqual(
      sorted(named).filter((name) => !(name in options) && ![...builtIn, ...ofOthers].includes(name)),
      [],
    );
  });

  it('has every command of the help in its synopsis and describes it', async () => {
    const { stdout } = await runBridge(['--help']);
    const commands = [...stdout.matchAll(/^ {2}fcgi2cgi (\w+)/gm)].map(([, name = '']) => name);
    assert.ok(commands.length > 0);
    const inSynopsis = [...section('SYNOPSIS').matchAll(/^\.Nm\n\.Cm (\w+)$/gm)].map(([, name = '']) => name);
    assert.deepEqual(inSynopsis, commands);
    assert.deepEqual(
      items(section('COMMANDS'), /^Cm (\w+)/).map(([name]) => name),
      commands,
    );
  });

  it('has the required options of each command, and them alone, without brackets in its synopsis', () => {
    for (const [command, own] of Object.entries(ofCommands)) {
      const [, usage = ''] = section('SYNOPSIS').split(`.Cm ${command}\n`);
      const lines = (usage.split('\n.Nm')[0] ?? '').split('\n');
      for (const [name, option] of Object.entries<Options>(own)) {
        const value = option.type === 'boolean' ? '' : ' ';
        const start = `${option.demandOption === true ? '.Fl' : '.Op Fl'} -${name}${value}`;
        assert.ok(
          lines.some((line) => line.startsWith(start)),
          `${command}: no line begins with ${start}`,
        );
      }
    }
  });

  it('explains every error code that the source uses, and no other', () => {
    const used = source
      .filter(([path]) => path !== 'src/errors.ts')
      .flatMap(([, text]) => [...text.matchAll(/'(ERR_[A-Z_]+)'/g)].map(([, code = '']) => code));
    const explained = items(section('DIAGNOSTICS'), /^Er (ERR_[A-Z_]+)$/m).map(([name]) => name);
    assert.ok(used.length > 0);
    assert.deepEqual([...explained].sort(), sorted(used));
  });

  it('has every field of the access log, in its order, and every word that may end its lines', () => {
    const text = section('ACCESS LOG');
    const [, json = ''] = /const line = \{\n(.*?)\};/s.exec(textOf('src/observe/access-log.ts')) ?? [];
    const fields = [...json.matchAll(/^ +(\w+)[:,]/gm)].map(([, name = '']) => name);
    assert.ok(fields.length > 0);
    const words = (macro: string): string[] =>
      [...text.matchAll(new RegExp(`^\\.It ${macro} (.*)$`, 'gm'))].flatMap(([, names = '']) =>
        names.split(' , '),
      );
    assert.deepEqual(words('Va'), fields);
    assert.deepEqual(words('Cm'), requestEnds);
    for (const end of requestEnds) assert.ok(textOf('README.md').includes(`\`${end}\``), end);
  });

  it('explains every HTTP status that the bridge answers with, and no other', () => {
    const sent = source
      .filter(([path]) => path.startsWith('src/sites/') || path.startsWith('src/daemon/'))
      .flatMap(([, text]) => [...text.replaceAll(/^ *(?:\/?\*|\/\/).*$/gm, '').matchAll(/\b[45]\d\d\b/g)])
      .map(([status]) => status);
    const explained = items(section('DESCRIPTION'), /^(\d{3})$/m).map(([name]) => name);
    assert.ok(sent.length > 0);
    assert.deepEqual(explained, sorted(sent));
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
    const read = source.flatMap(([, text]) => [
      ...[...text.matchAll(/process\.env\['([A-Z_]+)'\]/g)].map(([, name = '']) => name),
      ...(text.includes("from 'node:os'") && text.includes('tmpdir()') ? ['TMPDIR'] : []),
    ]);
    const explained = items(section('ENVIRONMENT'), /^Ev ([A-Z_]+)$/m).map(([name]) => name);
    assert.deepEqual([...explained].sort(), sorted(read));
  });
});

describe('The configuration files of the manual and of README.md', () => {
  const [, inManual = ''] =
    /^\.Bd -literal -offset indent\n(# \/etc\/.*?)^\.Ed$/ms.exec(section('CONFIGURATION FILE')) ?? [];
  const [, inReadme = ''] = /^```toml\n(.*?)^```$/ms.exec(textOf('README.md')) ?? [];
  for (const [where, text] of Object.entries({ inManual, inReadme })) {
    it(`are in order: ${where}`, async () => {
      const file = `${await temporaryDirectory()}/sites.toml`;
      await writeFile(file, text);
      assert.ok(readConfigurationFile(file, {}).sites.length > 1);
    });
  }
});

describe('README.md', () => {
  it('names every option', () => {
    const readme = textOf('README.md');
    const missing = Object.keys(options).filter((name) => !new RegExp(`--${name}(?![\\w-])`).test(readme));
    assert.deepEqual(missing, []);
  });
});
