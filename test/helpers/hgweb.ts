/** scripts/hgweb.cgi as the bridge runs it, but for repositories that the bridge has not looked at. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';

import { findMercurial } from '../../src/sites/hg/installation.js';
import { succeed } from './command.js';

export const hgwebScript = fileURLToPath(new URL('../../../scripts/hgweb.cgi', import.meta.url));

/** A request; arguments, variables and input are byte strings. */
export interface HgwebRequest {
  readonly args: readonly string[];
  readonly variables: Readonly<Record<string, string>>;
  readonly input?: string;
  /** Python statements that come before the script. */
  readonly before?: string;
}

export interface HgwebResponse {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs scripts as it is told, a line of JSON for each time; by forks, since to load Mercurial takes longer than the rest. */
const runs = `
import gc, json, os, sys, tempfile, traceback, types
from mercurial import bookmarks, bundle2, error, exchange, extensions, hg, localrepo, streamclone, ui, util
from mercurial.hgweb import hgweb_mod, hgwebdir_mod, webcommands, wsgicgi
from mercurial.utils import procutil
ui.ui, localrepo.instance, hgweb_mod.hgweb, hgwebdir_mod.hgwebdir, wsgicgi.launch, webcommands.log, procutil.stdout
asked, answers = os.fdopen(os.dup(0), errors='surrogateescape'), os.fdopen(os.dup(1), 'w')
codes = {}
for line in asked:
    told = json.loads(line)
    os.chdir(told['repos'])
    script = told['script']
    if script not in codes:
        # Here, for to compile it takes a third of a request's time.
        with open(script) as file:
            codes[script] = compile(file.read(), script, 'exec')
        # Else what looks for garbage in a forked process copies all of this one's memory.
        gc.freeze()
    responses = []
    for request in told['requests']:
        files = [tempfile.TemporaryFile() for _ in range(3)]
        files[0].write(os.fsencode(request.get('input', '')))
        files[0].seek(0)
        pid = os.fork()
        if pid == 0:
            try:
                for descriptor, file in enumerate(files):
                    os.dup2(file.fileno(), descriptor)
                os.environ.update(request['variables'])
                sys.argv = [script, *request['args']]
                exec(request.get('before', ''))
                sys.modules['__main__'] = main = types.ModuleType('__main__')
                main.__file__ = script
                exec(codes[script], main.__dict__)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(0)
        os.waitpid(pid, 0)
        for file in files:
            file.seek(0)
        responses.append({'stdout': files[1].read().decode('latin-1'), 'stderr': files[2].read().decode('latin-1')})
    json.dump(responses, answers)
    print(file=answers, flush=True)
`;

let started: { readonly child: ChildProcess; readonly lines: AsyncIterator<string, undefined> } | undefined;
let running: Promise<unknown> = Promise.resolve();

after(async () => {
  if (started === undefined) return;
  started.child.stdin?.end();
  await once(started.child, 'exit');
});

/** What the script, or another one of CGI in Mercurial's Python, says to each request for GET. */
export function runHgweb(
  repos: string,
  requests: readonly HgwebRequest[],
  script = hgwebScript,
): Promise<readonly HgwebResponse[]> {
  const said = running.then(async () => {
    started ??= await start();
    // Byte strings: what is read there is what they stand for.
    started.child.stdin?.write(`${JSON.stringify({ repos, requests, script })}\n`, 'latin1');
    const { value } = await started.lines.next();
    if (value === undefined) throw new Error('the Python that runs hgweb has ended');
    return JSON.parse(value) as HgwebResponse[];
  });
  running = said.catch(() => undefined);
  return said;
}

async function start(): Promise<NonNullable<typeof started>> {
  const { python } = await findMercurial('hg');
  const child = spawn(python, ['-c', runs], {
    cwd: '/',
    env: cgiEnvironment,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]() as AsyncIterator<string, undefined>;
  return { child, lines };
}

export const cgiEnvironment = {
  PATH: process.env['PATH'],
  GATEWAY_INTERFACE: 'CGI/1.1',
  REQUEST_METHOD: 'GET',
  SERVER_NAME: 'hg.example.org',
  SERVER_PORT: '80',
  SERVER_PROTOCOL: 'HTTP/1.1',
  HGENCODING: 'UTF-8',
  HGRCPATH: '',
  PYTHONDONTWRITEBYTECODE: '1',
  PATH_INFO: '',
};

/** Runs statements in the Python that has Mercurial, in the directory of repositories. */
export async function runPython(repos: string, statements: string, args: readonly string[]): Promise<string> {
  const { python } = await findMercurial('hg');
  return succeed(python, ['-c', statements, ...args], { cwd: repos, env: cgiEnvironment });
}
