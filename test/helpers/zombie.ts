/** A process that has ended and that nobody has waited for. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';

const program = `import os, signal, sys
child = os.fork()
if child == 0:
    os.setsid()
    os.kill(os.getpid(), signal.SIGKILL)
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
print(child, flush=True)
sys.stdin.read()
os.waitpid(child, 0)`;

export interface Zombie {
  /** Of the process, which SIGKILL has ended and which led a group of its own. */
  readonly pid: number;
  /** Has it waited for; resolves when nothing is left. */
  reaped(): Promise<void>;
}

export async function startZombie(): Promise<Zombie> {
  const parent = spawn('/usr/bin/python3', ['-c', program], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [printed] = (await once(parent.stdout, 'data')) as [Buffer];
  return {
    pid: Number(printed.toString()),
    reaped: async () => {
      parent.stdin.end();
      await once(parent, 'exit');
    },
  };
}
