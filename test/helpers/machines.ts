/** Machines of a test's own: network namespaces on one bridge, each with an address. It takes root, and iproute2. */

import { randomInt } from 'node:crypto';

import { type Bridge, commandLine, startCommand } from './bridge.js';
import { succeed } from './command.js';
import { until } from './processes.js';

const ip = (...args: readonly string[]): Promise<string> => succeed('ip', args);

export interface Machine {
  readonly address: string;
  /**
   * Starts `fcgi2cgi` there, with a directory for its temporary files; it sees `readOnly`, another one, as a file system
   * that nobody can write to. Resolves when it listens.
   */
  readonly start: (args: readonly string[], temporary: string, readOnly?: string) => Promise<Bridge>;
  /** Resolves when no process is left there, killed or not. */
  readonly empty: () => Promise<void>;
}

/** A network with these machines at .11, .12 …, and this one at .1. Whoever makes it removes it. */
export class Network {
  /** The first three numbers of its addresses. */
  readonly prefix: string;
  readonly machines: readonly Machine[];
  readonly #bridge: string;
  readonly #namespaces: readonly string[];

  constructor(machines: number) {
    // RFC 2544's, which nobody routes; another one for each, should several tests run at a time.
    this.prefix = `198.18.${String(randomInt(256))}`;
    this.#bridge = `f2c${String(process.pid)}`;
    const numbers = Array.from({ length: machines }, (_, index) => index + 1);
    this.#namespaces = numbers.map((number) => `${this.#bridge}-${String(number)}`);
    this.machines = this.#namespaces.map((namespace, index) => ({
      address: `${this.prefix}.${String(11 + index)}`,
      start: (args, temporary, readOnly) => {
        const mount = 'mount --bind -o ro "$0" "$0" && exec "$@"';
        const before = readOnly === undefined ? [] : ['sh', '-c', mount, readOnly];
        const command = ['ip', 'netns', 'exec', namespace, ...before, ...commandLine(args)];
        return startCommand(command, { ...process.env, TMPDIR: temporary });
      },
      empty: () => until(async () => (await ip('netns', 'pids', namespace)) === ''),
    }));
  }

  async make(): Promise<void> {
    const bridge = this.#bridge;
    await ip('link', 'add', bridge, 'type', 'bridge');
    await ip('address', 'add', `${this.prefix}.1/24`, 'dev', bridge);
    await ip('link', 'set', bridge, 'up');
    for (const [index, namespace] of this.#namespaces.entries()) {
      const ours = `${bridge}v${String(index)}`;
      await ip('netns', 'add', namespace);
      await ip('link', 'add', ours, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace);
      await ip('link', 'set', ours, 'master', bridge, 'up');
      const there = ['-n', namespace];
      const { address } = this.machines[index] ?? { address: '' };
      await ip(...there, 'address', 'add', `${address}/24`, 'dev', 'eth0');
      await ip(...there, 'link', 'set', 'eth0', 'up');
    }
  }

  /** Removes what there is of it, and kills what still runs there. */
  async remove(): Promise<void> {
    const there = (await ip('netns', 'list')).split('\n').map((line) => line.split(' ')[0] ?? '');
    for (const namespace of this.#namespaces.filter((name) => there.includes(name))) {
      const pids = (await ip('netns', 'pids', namespace)).split('\n').filter((pid) => pid !== '');
      for (const pid of pids) process.kill(Number(pid), 'SIGKILL');
      await ip('netns', 'delete', namespace);
    }
    const links = await ip('-brief', 'link', 'show', 'type', 'bridge');
    if (links.includes(`${this.#bridge} `)) await ip('link', 'delete', this.#bridge);
  }
}
