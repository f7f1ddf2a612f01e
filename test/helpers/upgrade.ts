/** Daemons in the background whose place new processes take, with all that they have in one directory. */

import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';

import { commandLine, main } from './bridge.js';
import { type Ended, runToEnd } from './command.js';
import { processesWith, vanished } from './processes.js';
import { temporaryDirectory } from './temporary.js';

export class Upgradable {
  readonly directory: string;
  readonly socket: string;
  readonly pidFile: string;
  readonly log: string;

  private constructor(directory: string) {
    this.directory = directory;
    this.socket = `${directory}/sock`;
    this.pidFile = `${directory}/pid`;
    this.log = `${directory}/log`;
  }

  static async make(): Promise<Upgradable> {
    return new Upgradable(await temporaryDirectory());
  }

  /** Starts it, by a command that becomes it where one is given. */
  async start(args: readonly string[], program = main, through: readonly string[] = []): Promise<void> {
    const [command = '', ...rest] = args;
    const options = ['--daemon', '--log-file', this.log, '--pid-file', this.pidFile];
    const [node, , ...words] = commandLine([command, ...options, ...rest]);
    const [file = '', ...all] = [...through, node, program, ...words];
    assert.deepEqual(await runToEnd(file, all), { status: 0, stdout: '', stderr: '' });
  }

  async pid(): Promise<number> {
    return Number(await readFile(this.pidFile, 'utf8'));
  }

  upgrade(): Promise<Ended> {
    return runToEnd(process.execPath, [main, 'upgrade', this.pidFile]);
  }

  /** Has the daemon replaced; resolves to the id of the one before. */
  async upgraded(): Promise<number> {
    const before = await this.pid();
    const ended = await this.upgrade();
    const now = await this.pid();
    const stdout = `process ${String(now)} serves in place of ${String(before)}\n`;
    assert.deepEqual(ended, { status: 0, stdout, stderr: '' });
    return before;
  }

  /** Ends the daemon, and all that it has replaced; nothing is left of any but the log and these files. */
  async stop(files: readonly string[]): Promise<void> {
    const all = processesWith(`${this.directory}/`);
    process.kill(await this.pid(), 'SIGTERM');
    for (const pid of all) await vanished(pid);
    assert.deepEqual((await readdir(this.directory)).sort(), ['log', ...files].sort());
  }

  /** Kills whatever a test has left. */
  async destroy(): Promise<void> {
    for (const pid of processesWith(`${this.directory}/`)) {
      process.kill(pid, 'SIGKILL');
      await vanished(pid);
    }
  }
}
