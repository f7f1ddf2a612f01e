/** Which Python modules are loaded ahead: those that are then as in a new process. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';

import { fromText } from '../../../src/base/bytes.js';
import type { Invocation } from '../../../src/cgi/invocation.js';
import { temporaryDirectory } from '../../helpers/temporary.js';
import { runBy, spawned, Warm } from '../../helpers/warm.js';

/** A script, and modules that lie elsewhere. */
async function makeScript(text: string, modules: Readonly<Record<string, string>>): Promise<Invocation> {
  const directory = await temporaryDirectory();
  const path = join(directory, 'cgi', 'script.cgi');
  await mkdir(join(directory, 'cgi'));
  await mkdir(join(directory, 'modules'));
  await writeFile(path, `#!/usr/bin/python3 -B\n${text}`);
  await chmod(path, 0o755);
  for (const [name, content] of Object.entries(modules))
    await writeFile(join(directory, 'modules', `${name}.py`), content);
  const variables = new Map([
    ['PATH', '/usr/bin:/bin'],
    ['PYTHONPATH', join(directory, 'modules')],
    ['PYTHONUSERBASE', join(directory, 'user')],
  ]);
  return { file: fromText(path), args: ['-a'], directory: fromText(dirname(path)), variables };
}

/** Prints which modules were there at the first line, then what `lines` do, then what each module has found. */
const script = (lines: string): string => `import sys
AHEAD = ' '.join(sorted(name for name in sys.modules if name.startswith('m_')))
OUT = sys.stdout
${lines}
print('A: b\\n', file=OUT)
print(AHEAD, file=OUT)
for name in sorted(sys.modules):
    if name.startswith('m_'):
        print(name, ascii(getattr(sys.modules[name], 'VALUE', None)), file=OUT)
`;

/** What the script prints: the modules that were loaded ahead, and what each has found. */
function printed(stdout: string): { ahead: string[]; found: Map<string, string> } {
  const [ahead = '', ...lines] = stdout.replace(/^.*?\n\n/s, '').split('\n');
  const pairs = lines.filter(Boolean).map((line): [string, string] => {
    const space = line.indexOf(' ');
    return [line.slice(0, space), line.slice(space)];
  });
  return { ahead: ahead.split(' ').filter(Boolean), found: new Map(pairs) };
}

describe('A Python module', { timeout: 300_000 }, () => {
  it('that has something of its own in each process is not loaded ahead', async () => {
    const own: Readonly<Record<string, string>> = {
      m_bytes: 'import os; VALUE = os.urandom(8)',
      m_device: `VALUE = open('/dev/urandom', 'rb').read(8)`,
      m_drawn: 'import random; VALUE = random.random()',
      m_generator: 'import random; generator = random.Random(); VALUE = generator.random()',
      m_late_name: 'from random import choice; VALUE = [choice(range(256)) for _ in range(8)]',
      m_loads_one: 'import m_token; VALUE = m_token.VALUE',
      m_moment: 'from datetime import datetime; VALUE = datetime.now().isoformat()',
      m_ns: 'from time import time_ns; VALUE = time_ns()',
      m_process: 'from os import getpid as get; VALUE = get()',
      m_self: `import os; VALUE = os.readlink('/proc/self')`,
      m_stamped: 'import uuid; VALUE = uuid.uuid1()',
      m_system: 'import random; VALUE = random.SystemRandom().random()',
      m_token: 'import secrets; VALUE = secrets.token_hex(8)',
      m_unique: 'import uuid; VALUE = str(uuid.uuid4())',
      m_unseen: `import _random; VALUE = _random.Random().random()`,
    };
    const others = {
      m_arguments: 'import sys; VALUE = sys.argv[1:]',
      m_keys: 'import ssl; context = ssl.create_default_context()',
      m_program: 'import subprocess; VALUE = subprocess.run(["true"]).returncode',
      m_seeds: 'import random; random.seed(1)',
      m_today: 'import datetime; VALUE = datetime.date.today().year',
      m_year: 'import time; VALUE = time.localtime()[0]',
    };
    const ahead = {
      m_defines:
        'import datetime, logging, random, time; VALUE = datetime.datetime(2000, 1, 1), time.time, time.gmtime(0)[0]',
      m_seeded: 'import random; VALUE = random.Random(1).random()',
    };
    const names = Object.keys({ ...own, ...others, ...ahead });
    const invocation = await makeScript(script(`import ${names.join(', ')}`), {
      ...own,
      ...others,
      ...ahead,
    });
    const warm = new Warm();
    await warm.warmUp(invocation);
    const runs: ReturnType<typeof printed>[] = [];
    for (let count = 0; count < 3; count++) {
      const { stdout, isWarm } = await warm.run(invocation);
      assert.ok(isWarm);
      runs.push(printed(stdout));
    }
    const expected = printed((await runBy(spawned, invocation)).stdout).found;
    for (const run of runs) assert.deepEqual(run.ahead, Object.keys(ahead));
    for (const name of names) {
      const values = new Set<string>(runs.map(({ found }) => withoutAddress(found.get(name))));
      if (name in own) assert.equal(values.size, runs.length, name);
      else assert.deepEqual([...values], [withoutAddress(expected.get(name))], name);
    }
  });

  it('that changes something outside itself is not there for requests that do not import it', async () => {
    const others = `import decimal, gc, json, locale, logging, m_lazy, mimetypes, socket, warnings`;
    const changing = {
      m_adds: 'import m_lazy; m_lazy.ADDED = 2',
      m_class: 'import json; json.JSONEncoder.default = lambda *_: 0',
      m_end: 'import atexit, sys; atexit.register(print, "end", file=sys.stderr)',
      m_filter: 'import warnings; warnings.simplefilter("error")',
      m_function: 'import json; json.dumps = lambda value: 0',
      m_hook: 'import sys; sys.excepthook = lambda *_: 0',
      m_limit: 'import sys; sys.setrecursionlimit(5000)',
      m_locale: 'import locale; locale.setlocale(locale.LC_ALL, "C.UTF-8")',
      m_logger: 'import logging; logging.getLogger("others").setLevel("ERROR")',
      m_module: 'import sys, types; sys.modules["another"] = types.ModuleType("another")',
      m_path: 'import sys; sys.path.append("/nowhere")',
      m_precision: 'import decimal; decimal.getcontext().prec = 5',
      m_table: 'import mimetypes; mimetypes.suffix_map[".a"] = ".b"',
      m_timeout: 'import socket; socket.setdefaulttimeout(5)',
      m_unused: 'import gc; gc.disable()',
    };
    const ahead = {
      m_asks: 'import m_lazy; VALUE = m_lazy.MADE',
      m_base: 'import abc\nclass Base(abc.ABC): parts = []\nclass Part(Base): pass',
      m_lazy: `def __getattr__(name):
    if name != 'MADE': raise AttributeError(name)
    globals()[name] = [1]
    return globals()[name]`,
      m_own: `import logging, re, warnings; PATTERN = re.compile("a+b"); logging.getLogger(__name__).setLevel("ERROR")
warnings.filterwarnings("ignore", "m_own is old"); VALUE = 1; import m_base`,
    };
    const names = Object.keys({ ...ahead, ...changing });
    const invocation = await makeScript(
      script(`import os
if os.environ['QUERY_STRING'] == 'a':
    import ${names.join(', ')}
${others}
print(decimal.getcontext().prec, gc.isenabled(), hasattr(m_lazy, 'ADDED'), json.JSONEncoder().encode([1]), json.dumps([1]),
      '.a' in mimetypes.suffix_map, locale.setlocale(locale.LC_ALL), logging.getLogger('others').level, 'another' in sys.modules,
      sys.excepthook is sys.__excepthook__, sys.getrecursionlimit(), '/nowhere' in sys.path, socket.getdefaulttimeout(),
      [kind for kind, message, *_ in warnings.filters if not message][0], json.JSONEncoder.default.__name__, file=sys.stderr)`),
      { ...changing, ...ahead },
    );
    const asking = (query: string): Invocation => ({
      ...invocation,
      variables: new Map([...invocation.variables, ['QUERY_STRING', query]]),
    });
    const warm = new Warm();
    await warm.warmUp(asking('a'));
    for (const query of ['a', 'b']) {
      const expected = await runBy(spawned, asking(query));
      const { stdout, stderr, isWarm } = await warm.run(asking(query));
      assert.deepEqual([printed(stdout).ahead, stderr, isWarm], [Object.keys(ahead), expected.stderr, true]);
    }
  });

  it('does at each request once what is to be seen elsewhere, and never when it is tried', async () => {
    const line = (letter: string): string =>
      `open(os.path.dirname(__file__) + "/../log", "a").write("${letter}")`;
    const acting = {
      m_catches: `import os\ntry: ${line('c')}\nexcept: pass`,
      m_runs: `import os; VALUE = os.system("echo r >> " + os.path.dirname(__file__) + "/../log")`,
      m_writes: `import os; VALUE = ${line('w')}`,
    };
    const invocation = await makeScript(
      script(`import ${Object.keys(acting).join(', ')}, os\n${line('s')}`),
      acting,
    );
    const warm = new Warm();
    await warm.warmUp(invocation);
    assert.deepEqual(printed((await warm.run(invocation)).stdout).ahead, []);
    const log = await readFile(join(dirname(invocation.directory), 'log'), 'utf8');
    const times = (letter: string): number => log.split(letter).length;
    assert.deepEqual(
      ['c', 'r', 'w'].map(times),
      Array.from({ length: 3 }, () => times('s')),
      log,
    );
  });

  it('that lies beside the script is not loaded ahead: it is the script’s own, and may read what nobody looks at', async () => {
    const invocation = await makeScript(script('import m_beside, m_other'), { m_other: 'VALUE = 1' });
    await writeFile(join(dirname(invocation.file), 'm_beside.py'), 'VALUE = 1');
    const warm = new Warm();
    await warm.warmUp(invocation);
    const { stdout, isWarm } = await warm.run(invocation);
    assert.deepEqual([printed(stdout).ahead, isWarm], [['m_other'], true]);
  });

  it('that only its fork server would have a use for is not there', async () => {
    const names = ['datetime', 'importlib.metadata', 'inspect', 'json', 'random', 'threading', 'typing'];
    const lines = `print('A: b\\n\\n', [name for name in '${names.join(' ')}'.split() if name in sys.modules])`;
    const invocation = await makeScript(`import sys\n${lines}\n`, {});
    const warm = new Warm();
    await warm.warmUp(invocation, { learned: false });
    const { stdout, isWarm } = await warm.run(invocation);
    assert.deepEqual([stdout, isWarm], ['A: b\n\n []\n', true]);
  });

  it('is loaded ahead only where it sees what it sees in a new process', async () => {
    const lines = `import builtins, locale, os, m_first
os.environ['MODE'] = 'set'
import m_variable, m_other_variable
sys.argv[1:] = ['set']
import m_arguments
sys.path.append('/nowhere')
import m_path, m_no_path
sys.stdout = sys.stderr
import m_stdout
sys.stdout = OUT
os.chdir('/usr')
import m_directory
os.chdir(os.path.dirname(__file__))
mask = os.umask(0o77)
import m_mask
os.umask(mask)
locale.setlocale(locale.LC_ALL, 'C.UTF-8')
import m_locale
locale.setlocale(locale.LC_ALL, 'C')
locale.setlocale(locale.LC_CTYPE, CTYPE)
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        seen.append(name)
seen = []
sys.meta_path.insert(0, Finder)
import m_hook
sys.meta_path.remove(Finder)
builtins._ = len
import m_builtin
del builtins._
original = open
builtins.open = lambda *given: original(*given)
import m_calls, m_defaults, m_keeps, m_late
builtins.open = original
import m_last`.replace('os, m_first', `os, m_first\nCTYPE = locale.setlocale(locale.LC_CTYPE)`);
    const changed = {
      m_arguments: 'import sys; VALUE = sys.argv[1:]',
      m_builtin: 'VALUE = _("abc")',
      m_calls: 'open("/dev/null").close(); VALUE = 4',
      m_defaults: 'def read(path, opened=open): pass\nVALUE = read.__defaults__[0].__name__',
      m_directory: 'import os; VALUE = os.getcwd()',
      m_hook: 'import sys; VALUE = len(sys.meta_path)',
      m_keeps: 'class Reader: opened = open\nVALUE = Reader.opened.__name__',
      m_locale: 'import locale; VALUE = locale.setlocale(locale.LC_ALL)',
      m_mask: 'import os; VALUE = os.umask(0o77); os.umask(VALUE)',
      m_path: 'import sys; VALUE = sys.path[-1]',
      m_stdout: 'import sys; VALUE = sys.stdout is sys.stderr',
      m_variable: 'import os; VALUE = os.environ.get("MODE")',
    };
    const ahead = {
      m_first: 'VALUE = 1',
      m_last: 'VALUE = 2',
      m_late: 'def read(path): return open(path)\nVALUE = 5',
      m_no_path: 'VALUE = 3',
      m_other_variable: 'import os; VALUE = os.environ.get("OTHER")',
    };
    const invocation = await makeScript(script(lines), { ...changed, ...ahead });
    const expected = printed((await runBy(spawned, invocation)).stdout).found;
    assert.equal(expected.size, Object.keys({ ...changed, ...ahead }).length);
    const warm = new Warm();
    await warm.warmUp(invocation);
    for (let count = 0; count < 3; count++) {
      const run = await warm.run(invocation);
      assert.ok(run.isWarm);
      assert.deepEqual(printed(run.stdout), { ahead: Object.keys(ahead), found: expected });
    }
  });

  it('is loaded ahead although requests change different things before it, unless it looks at these', async () => {
    const lines = `import os
os.environ['PART'] = os.environ['SUB']
if os.environ['SUB'] == 'b': sys.ps1 = 'b'
import m_part, m_prompt, m_same
if os.environ['SUB'] == 'b': mask = os.umask(0o77)
import m_mask
if os.environ['SUB'] == 'b': os.umask(mask)
import m_last`;
    const looking = {
      m_mask: 'import os; VALUE = os.umask(0o77); os.umask(VALUE)',
      m_part: 'import os; VALUE = os.environ.get("PART")',
      m_prompt: 'import sys; VALUE = getattr(sys, "ps1", 0)',
    };
    const made = await makeScript(script(lines), { ...looking, m_last: 'VALUE = 1', m_same: 'VALUE = 2' });
    const invocations = ['a', 'b'].map((sub): Invocation => {
      return { ...made, variables: new Map([...made.variables, ['SUB', sub]]) };
    });
    const warm = new Warm();
    const [first] = invocations;
    assert.ok(first);
    await warm.run(first);
    await warm.event(/ready .*"modules":0/);
    // Taught by the same fork server.
    await Promise.all(invocations.map((invocation) => runBy(warm.scripts.start, invocation)));
    await warm.scripts.prepare(first);
    for (const invocation of invocations) {
      const { found } = printed((await runBy(spawned, invocation)).stdout);
      const { stdout, isWarm } = await warm.run(invocation);
      assert.deepEqual([printed(stdout), isWarm], [{ ahead: ['m_last', 'm_same'], found }, true]);
    }
  });
});

describe('What decides which Python modules a new process finds', { timeout: 300_000 }, () => {
  it('is looked at before each request: directories, .pth files, sitecustomize and files that modules read', async () => {
    const invocation = await makeScript(
      `import sys, os
ahead = 'm_reads' in sys.modules
import m_reads, package.part
print('A: b\\n')
print('ahead' if ahead else '')
print(m_reads.VALUE, m_reads.OPTIONAL, package.part.VALUE, 'custom' in os.environ, [path for path in sys.path if 'user' in path])
`,
      {
        m_reads: `import os\ndef read(name):\n    try:\n        return open(os.path.join(os.path.dirname(__file__), name)).read()\n    except OSError: pass\nVALUE = read('one'), read('two'), os.path.exists(os.path.dirname(__file__) + '/three')\ntry:\n    from m_optional import OPTIONAL\nexcept ImportError:\n    OPTIONAL = None\n`,
      },
    );
    const directory = dirname(invocation.directory);
    const at = (...names: string[]): string => join(directory, ...names);
    const write = async (path: string, text: string): Promise<void> => {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, text);
    };
    await write(at('modules', 'one'), 'one');
    await write(at('modules', 'package', '__init__.py'), '');
    await write(at('modules', 'package', 'part.py'), `VALUE = 'part'\n`);
    const python = (
      await runBy(
        spawned,
        await makeScript(`import sys, site\nprint('A: b\\n')\nprint(site.USER_SITE, end='')`, {}),
      )
    ).stdout;
    const site = at('user', 'lib', basename(dirname(python)), 'site-packages');
    const warm = new Warm();
    await warm.warmUp(invocation);
    for (const change of [
      () => write(at('modules', 'one'), 'another'),
      () => write(at('modules', 'two'), 'two'),
      () => write(at('modules', 'three'), ''),
      () => write(at('modules', 'm_optional.py'), `OPTIONAL = 'there'\n`),
      () => write(at('modules', 'package', 'part', '__init__.py'), `VALUE = 'directory'\n`),
      () => mkdir(site, { recursive: true }),
      async () => {
        await write(join(site, 'more.pth'), `${at('user-more')}\n`);
        // It says something only once there is such a directory.
        while (!isAhead(await warm.run(invocation))) assert.deepEqual(warnings(warm), []);
        await mkdir(at('user-more'));
      },
      () => write(join(site, 'more.pth'), `${at('user-more')}\nimport os; os.environ['custom'] = 'yes'\n`),
      () => rm(join(site, 'more.pth')),
      () => write(at('modules', 'sitecustomize.py'), `import os; os.environ['custom'] = 'yes'\n`),
    ]) {
      while (!isAhead(await warm.run(invocation))) assert.deepEqual(warnings(warm), []);
      const before = (await runBy(spawned, invocation)).stdout;
      await change();
      const expected = (await runBy(spawned, invocation)).stdout;
      assert.notEqual(expected, before, String(change));
      const { stdout } = await warm.run(invocation);
      assert.equal(stdout.replace('ahead', ''), expected, String(change));
    }
  });
});

describe('A Python module in an archive', { timeout: 300_000 }, () => {
  it('is not loaded ahead, as nobody sees what it does, and is the new one when the archive has changed', async () => {
    const invocation = await makeScript(
      `import sys\nahead = 'm_archived' in sys.modules\nimport m_archived\nprint('A: b\\n')\nprint(ahead, m_archived.VALUE, end='')\n`,
      {},
    );
    const archive = join(dirname(invocation.directory), 'archive.zip');
    const zip = async (value: string): Promise<void> => {
      const make = `import sys, zipfile\nwith zipfile.ZipFile(sys.argv[1], 'w') as file: file.writestr('m_archived.py', sys.argv[2])`;
      await promisify(execFile)('/usr/bin/python3', ['-c', make, `${archive}.new`, `VALUE = '${value}'`]);
      await rename(`${archive}.new`, archive);
    };
    (invocation.variables as Map<string, string>).set('PYTHONPATH', archive);
    await zip('old');
    const warm = new Warm();
    await warm.warmUp(invocation, { learned: false });
    for (let count = 0; count < 4; count++) {
      await warm.scripts.prepare(invocation);
      const { stdout, isWarm } = await warm.run(invocation);
      assert.deepEqual([stdout, isWarm], ['A: b\n\nFalse old', true]);
    }
    await zip('new');
    assert.equal((await warm.run(invocation)).stdout, 'A: b\n\nFalse new');
  });
});

const isAhead = ({ stdout }: { stdout: string }): boolean => stdout.includes('ahead');

const warnings = (warm: Warm): unknown => warm.events.filter(({ level }) => level === 'warn');

function withoutAddress(text = ''): string {
  return text.replace(/0x[0-9a-f]+/g, '0x…');
}
