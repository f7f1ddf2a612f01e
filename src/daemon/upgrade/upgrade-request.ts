/**
 * The file in which `fcgi2cgi upgrade` and the daemon meet, beside the pid file: the command makes it and sends SIGUSR2,
 * the daemon writes how long the upgrade may take and how it went, the command removes it.
 */

import { execFile } from 'node:child_process';
import { constants, rmSync } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

import { BridgeError, bridgeErrorOf, reasonOf, systemCodeOf } from '../../base/errors.js';
import { exists } from '../../process/process-group.js';
import { readSmall, tryLink } from '../process/files.js';
import { onSignals } from '../process/signals.js';

/** How an upgrade went: which process serves now, or why none but the old one. */
type Outcome = { readonly pid: number } | { readonly failed: readonly string[] };

/** What the daemon says of it; before that, how long it may take, 0 for as long as it likes. */
export type Answer = { readonly withinMs: number } | Outcome;

/** For a daemon that is reading its configuration again, and for its answer. */
const MARGIN_MS = 30_000;

const POLL_MS = 50;

const run = promisify(execFile);

const fileBeside = (pidFile: string): string => `${pidFile}.upgrade`;

/** Tells the command how the upgrade went, if it was a command that has asked for it. */
export async function answerRequest(pidFile: string, answer: Answer): Promise<void> {
  // Somebody who may write there must not have the daemon write elsewhere, or wait.
  const { O_WRONLY, O_APPEND, O_NOFOLLOW, O_NONBLOCK } = constants;
  const flags = O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK;
  const file = await open(fileBeside(pidFile), flags).catch(() => undefined);
  if (file === undefined) return;
  try {
    if ((await file.stat()).isFile()) await file.write(`${JSON.stringify(answer)}\n`);
  } catch {
    // Nobody else can be told: the log has it.
  } finally {
    await file.close();
  }
}

/**
 * Asks the daemon that runs as process `pid` to let a new one take its place; resolves to that one's id.
 *
 * @throws BridgeError `ERR_UPGRADE` why it does not, or that it says nothing within the time that it has set itself.
 */
export async function requestUpgrade(pidFile: string, pid: number): Promise<number> {
  const path = fileBeside(pidFile);
  const file = await make(pidFile, pid);
  const ending = onSignals(['SIGINT', 'SIGTERM', 'SIGHUP'], (by) => {
    rmSync(path, { force: true });
    ending.dispose();
    process.kill(process.pid, by);
  });
  try {
    signal(pid);
    const answer = await answerOf(file, pid);
    if ('pid' in answer) return answer.pid;
    throw (
      bridgeErrorOf(answer.failed.map((line) => new BridgeError('ERR_UPGRADE', line))) ??
      failed('the daemon does not say why it goes on itself; its log may')
    );
  } finally {
    ending.dispose();
    await file.close();
    await unlink(path).catch(() => undefined);
  }
}

/**
 * Makes the file, which appears complete or not at all, so that the daemon may write to it; what a command has left that
 * was killed is replaced.
 */
async function make(pidFile: string, daemon: number): Promise<FileHandle> {
  const path = fileBeside(pidFile);
  const temporary = `${pidFile}.${String(process.pid)}`;
  let file: FileHandle | undefined;
  try {
    await unlink(temporary).catch(() => undefined);
    file = await open(temporary, 'wx+', 0o600);
    await file.write(`${String(process.pid)}\n`);
    if (process.getuid?.() === 0) await file.chown(...(await ownerOf(daemon)));
    while (!(await tryLink(temporary, path))) await takeAway(path);
    return file;
  } catch (error) {
    await file?.close();
    throw error instanceof BridgeError ? error : failed(`${path} can't be made: ${reasonOf(error)}`);
  } finally {
    await unlink(temporary).catch(() => undefined);
  }
}

async function takeAway(path: string): Promise<void> {
  const asker = Number.parseInt(await readSmall(path).catch(() => ''), 10);
  if (exists(asker)) throw failed(`process ${String(asker)} has asked for an upgrade already; wait for it`);
  await unlink(path).catch((error: unknown) => {
    if (systemCodeOf(error) !== 'ENOENT') throw failed(`${path} can't be removed: ${reasonOf(error)}`);
  });
}

async function ownerOf(pid: number): Promise<[uid: number, gid: number]> {
  const asked = run('ps', ['-o', 'uid=', '-o', 'gid=', '-p', String(pid)]);
  const { stdout } = await asked.catch((error: unknown) => {
    throw exists(pid) ? error : failed(`process ${String(pid)} has just ended; look at its log`);
  });
  const [uid = NaN, gid = NaN] = stdout.trim().split(/\s+/).map(Number);
  return [uid, gid];
}

function signal(pid: number): void {
  try {
    process.kill(pid, 'SIGUSR2');
  } catch (error) {
    throw failed(
      `process ${String(pid)} can't be told: ${reasonOf(error)}; run this as root, or as its user`,
    );
  }
}

async function answerOf(file: FileHandle, pid: number): Promise<Outcome> {
  let deadline = performance.now() + MARGIN_MS;
  let heard = 0;
  for (;;) {
    const isOver = !exists(pid) || performance.now() > deadline;
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(65_536), position: 0 });
    // The first line is ours, the last is not complete.
    const lines = buffer.toString('utf8', 0, bytesRead).split('\n').slice(1, -1);
    for (const line of lines.slice(heard)) {
      const said = JSON.parse(line) as Answer;
      if (!('withinMs' in said)) return said;
      deadline = said.withinMs === 0 ? Infinity : performance.now() + said.withinMs + MARGIN_MS;
    }
    heard = lines.length;
    if (isOver) throw failed(`process ${String(pid)} has ended, or says nothing; look at its log`);
    await delay(POLL_MS);
  }
}

function failed(why: string): BridgeError {
  return new BridgeError('ERR_UPGRADE', why);
}
