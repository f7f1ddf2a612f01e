/** What processes share has a reference count that nobody changes, where this Python has one, and holds nothing of theirs. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';

import { fromText } from '../../../src/base/bytes.js';
import type { Invocation } from '../../../src/cgi/invocation.js';
import { temporaryDirectory } from '../../helpers/temporary.js';
import { runBy, spawned, Warm } from '../../helpers/warm.js';

const module = `import functools
TEXT = 'a text of ' + 'its own'
WORDS = (TEXT, ('other', 2.5))
MIXED = (TEXT, [])
LIST = []
TABLE = {}
class Kind:
    pass
THING = Kind()
def function(first=(TEXT,)): return first
def remembers(first=[]): return first
def made(kept=None):
    def inner(): return kept
    return inner
INNER = made([])
@functools.lru_cache(None)
def cached(value): return value
`;

/** Prints which of the module's have such a count; then it leaves something to be finalized where QUERY_STRING says. */
const script = `import os, sys
from m import *
import m
class Finalized:
    def __del__(self, write=os.write): write(1, b'finalized\\n')
print('Content-Type: text/plain\\n')
names = sorted(name for name in vars(m) if not name.startswith('_'))
if not os.environ['QUERY_STRING']:
    print(*(name for name in names if sys.getrefcount(vars(m)[name]) > 2 ** 31))
sys.stdout.flush()
keep = {
    'attribute': lambda thing: setattr(m.function, 'kept', thing),
    'default': lambda thing: m.remembers().append(thing),
    'closure': lambda thing: m.INNER().append(thing),
    'tuple': lambda thing: m.MIXED[1].append(thing),
    'list': lambda thing: m.LIST.append(thing),
    'table': lambda thing: m.TABLE.update(kept=thing),
    'instance': lambda thing: setattr(m.THING, 'kept', thing),
    'cache': lambda thing: m.cached(thing),
    'module': lambda thing: setattr(m, 'kept', thing),
}.get(os.environ['QUERY_STRING'])
if keep: keep(Finalized())
`;

const ways = ['attribute', 'default', 'closure', 'tuple', 'list', 'table', 'instance', 'cache', 'module'];

async function makeScript(): Promise<(query: string) => Invocation> {
  const directory = await temporaryDirectory();
  const path = join(directory, 'cgi/script.cgi');
  await mkdir(join(directory, 'cgi'));
  await writeFile(join(directory, 'm.py'), module);
  await writeFile(path, `#!/usr/bin/python3 -B\n${script}`);
  await chmod(path, 0o755);
  return (query) => ({
    file: fromText(path),
    args: [],
    directory: fromText(dirname(path)),
    variables: new Map([
      ['PATH', '/usr/bin:/bin'],
      ['PYTHONPATH', directory],
      ['QUERY_STRING', query],
    ]),
  });
}

describe('What Python processes share', { timeout: 300_000 }, () => {
  it('is immortal on Python 3.12 and 3.13, but for what can hold something of theirs', async () => {
    const invocation = await makeScript();
    const warm = new Warm();
    await warm.warmUp(invocation(''));
    const { stdout, isWarm } = await warm.run(invocation(''));
    const version = execFileSync('/usr/bin/python3', ['-c', 'import sys; print(sys.version_info[1])']);
    const hasImmortal = [12, 13].includes(Number(version));
    const expected = hasImmortal ? 'Kind TEXT WORDS function functools made' : '';
    assert.deepEqual([stdout.replace(/^[^]*?\n\n/, ''), isWarm], [`${expected}\n`, true]);
  });

  it('keeps nothing of a process’s own from being finalized at its end', async () => {
    const invocation = await makeScript();
    const warm = new Warm();
    await warm.warmUp(invocation(''));
    for (const way of ways) {
      const { stdout, isWarm } = await warm.run(invocation(way));
      const expected = await runBy(spawned, invocation(way));
      assert.deepEqual([stdout, isWarm], [expected.stdout, true], way);
      //      assert.match(stdout, /finalized\n$/, way);
    }
  });
});
