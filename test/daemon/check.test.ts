import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { before, describe, it } from 'node:test';

import { readConfigurationFile } from '../../src/cli/toml-file/configuration-file.js';
import { linesOf } from '../../src/base/errors.js';
import { checkStart } from '../../src/daemon/check.js';
import { makeTree } from '../helpers/file-tree.js';
import { temporaryDirectory } from '../helpers/temporary.js';

let directory: string;

before(async () => {
  directory = await temporaryDirectory();
  await makeTree(directory, { file: { content: '' }, 'there/file': { content: '' } });
});

/** What is said of a file, a line each, without its name. */
async function checked(text: string): Promise<string[]> {
  const file = `${directory}/sites.toml`;
  await writeFile(file, text);
  const lines: string[] = [];
  try {
    await checkStart(readConfigurationFile(file, new Map()), (line) => lines.push(line));
  } catch (error) {
    lines.push(...linesOf(error));
  }
  return lines.map((line) => line.replace(`${file}:`, '').replaceAll(directory, 'DIR'));
}

const site = '[site.a]\nkind = "script"\nfile = "/bin/true"\n';

/** Each a line before the first section, and lines of the site; what is said of them. */
const cases: readonly (readonly [what: string, top: string, inSite: string, said: RegExp | undefined])[] = [
  [
    'files that can be made',
    'log-file = "log"\naccess-log = "/dev/null"\npid-file = "pid"\ncontrol = "unix:ctl"',
    '',
    undefined,
  ],
  [
    'a log file without a directory',
    'log-file = "no/log"',
    '',
    /^--log-file DIR\/no\/log can't be opened: there is no directory DIR\/no; make it$/,
  ],
  [
    'an access log without a directory',
    'access-log = "no/log"',
    '',
    /^--access-log DIR\/no\/log can't be opened: there is no directory DIR\/no/,
  ],
  [
    'a log file that is a directory',
    'log-file = "there"',
    '',
    /^--log-file DIR\/there can't be opened: it is a directory$/,
  ],
  [
    'a pid file without a directory',
    'pid-file = "no/pid"',
    '',
    /^--pid-file DIR\/no\/pid can't be written: there is no directory DIR\/no/,
  ],
  [
    'a pid file that is none',
    'pid-file = "there"',
    '',
    /^--pid-file DIR\/there can't be written: it is no regular file$/,
  ],
  ['a directory that is a file', 'pid-file = "file/pid"', '', /there is no directory DIR\/file/],
  [
    'a control socket without a directory',
    'control = "unix:no/ctl"',
    '',
    /^unix:DIR\/no\/ctl: there is no directory DIR\/no/,
  ],
  [
    'a control socket below /run, which is empty',
    'control = "/run/no-such/ctl"',
    '',
    /^unix:\/run\/no-such\/ctl: there is no directory .*; the service has to make it/,
  ],
  [
    'a control socket in the place of a file',
    'control = "unix:file"',
    '',
    /^unix:DIR\/file: the file there is no socket/,
  ],
  ['more processes than descriptors', 'max-processes = 99999999', '', /need \d+ descriptors/],
  [
    'an owner that there is not',
    '',
    'socket-owner = "no-such"',
    /^5:1: \[site.a\] socket-owner = "no-such": the system knows no such user$/,
  ],
  [
    'a group that there is not',
    'socket-group = "no-such"',
    '',
    /^1:1: socket-group = "no-such": the system knows no such group$/,
  ],
  ['an owner and a group that there are', '', 'socket-owner = "root"\nsocket-group = "0"', undefined],
  [
    'an address for nobody',
    '',
    'listen = "0.0.0.0:9911"',
    /^5:1: \[site.a\] 0.0.0.0:9911: can't listen: not a loopback address; .*--allow-from/,
  ],
  [
    'an address for somebody',
    '',
    'listen = ["0.0.0.0:9911", "localhost:9912"]\nallow-from = "192.0.2.1"',
    undefined,
  ],
  [
    'a path too long for a socket',
    '',
    `listen = "/${'x'.repeat(108)}"`,
    /^5:1: \[site.a\] unix:.*: a socket's path may have/,
  ],
];

describe('A configuration is looked through without a start, and what is said is what the start would say:', () => {
  for (const [what, top, inSite, said] of cases) {
    it(what, async () => {
      const listen = inSite.includes('listen =') ? '' : `listen = "unix:sock"\n`;
      // The line of a site's own is the fifth.
      const [line] = await checked(`${top}\n${site}${inSite}\n${listen}`);
      if (said === undefined) assert.equal(line, undefined);
      else assert.match(line ?? '', said);
    });
  }

  it('a worker’s program that is missing, with all other faults of the file', async () => {
    const worker = (name: string, command: string): string =>
      `[site.${name}]\nkind = "worker"\ncommand = ["${command}"]\nlisten = "unix:${name}"\n`;
    assert.deepEqual(
      await checked(
        `pid-file = "no/pid"\n${worker('a', '/nope/app')}${worker('b', 'nope')}${worker('c', 'true')}`,
      ),
      [
        '2:1: [site.a] worker /nope/app: there is no such file',
        '6:1: [site.b] worker nope: there is no such program in PATH',
        "--pid-file DIR/no/pid can't be written: there is no directory DIR/no; make it",
      ],
    );
  });
});
