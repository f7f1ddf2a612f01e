/** In systemd's place: what daemons tell it by sd_notify(3). */

import { type ChildProcess, spawn } from 'node:child_process';
import { after } from 'node:test';

import { until } from './processes.js';

const others: ChildProcess[] = [];
after(() => {
  for (const other of others) other.kill('SIGKILL');
});

/** Receives datagrams as systemd does, and prints each as a line of JSON; an abstract name begins with @. */
const receiver = `import json, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1].replace('@', '\\0', 1))
print('"ready"', flush=True)
while True: print(json.dumps(s.recv(4096).decode()), flush=True)`;

/** What is sent to an address, which appears in the array as it comes; it is received until the tests of the file have ended. */
export async function receive(address: string): Promise<readonly Readonly<Record<string, string>>[]> {
  const python = spawn('/usr/bin/python3', ['-c', receiver, address], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  others.push(python);
  const messages: Record<string, string>[] = [];
  let text = '';
  let isReady = false;
  python.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (text + chunk).split('\n');
    text = lines.pop() ?? '';
    for (const line of lines) {
      const message = JSON.parse(line) as string;
      if (message === 'ready') isReady = true;
      else
        messages.push(
          Object.fromEntries(
            message
              .trim()
              .split('\n')
              .map((pair) => pair.split('=')),
          ) as Record<string, string>,
        );
    }
  });
  await until(() => isReady);
  return messages;
}
