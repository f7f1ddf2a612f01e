/**
 * What a system has to serve with that is no Linux: no /proc, no koffi, no tools but POSIX's. Debian stands in for
 * OpenBSD, FreeBSD and NetBSD, with their scripts of rc.d/; none of this shows what their kernels do.
 */

import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';

import { trySignal } from '../../src/process/process-group.js';
import { connect } from '../helpers/ask.js';
import { fixture } from '../helpers/bridge.js';
import { type Ended, runToEnd } from '../helpers/command.js';
import { git, makeBareRepository } from '../helpers/git.js';
import { hg, makeRepository } from '../helpers/mercurial.js';
import { isRunning, processesWith, until, vanished } from '../helpers/processes.js';
import { makePlace, type Place, type Script, self, systems } from '../helpers/rc.js';
import { answered } from '../helpers/served.js';
import { type Elsewhere, elsewhere } from '../helpers/without-linux.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { startPassing, type WebServer } from '../helpers/webserver.js';

const needsRoot = process.getuid?.() !== 0 && 'only root can hide /proc';

/** The rc.d script of a system, which finds what is installed there. */
async function installScript(
  name: 'freebsd' | 'netbsd' | 'openbsd',
  place: Place,
  config: string,
  { command, path }: Elsewhere,
): Promise<Script> {
  const { PATH } = process.env;
  process.env['PATH'] = path;
  try {
    const script = await systems[name].install(place, self, { config }, command);
    // OpenBSD's rc.d(8) knows no such action.
    const upgrade = (): Promise<Ended> =>
      runToEnd(join(path, 'node'), [command, 'upgrade', place.pidFile], { env: { PATH: path } });
    return (action) => (name === 'openbsd' && action === 'upgrade' ? upgrade() : script(action));
  } finally {
    process.env['PATH'] = PATH;
  }
}

function succeeded({ status, stdout, stderr }: Ended): void {
  assert.equal(status, 0, stdout + stderr);
}

for (const name of ['freebsd', 'netbsd', 'openbsd'] as const) {
  describe(`On ${name}, as far as Debian can stand in for it,`, { skip: needsRoot, timeout: 300_000 }, () => {
    let place: Place;
    let installation: Elsewhere;
    let rc: Script;
    const webs: WebServer[] = [];
    const socketOf = (site: string): string => join(dirname(place.pidFile), site);
    const url = (site: 'hg' | 'git'): string => webs[site === 'git' ? 0 : 1]?.url ?? '';
    const pid = async (): Promise<number> => Number(await readFile(place.pidFile, 'utf8'));
    const log = (): Promise<string> => readFile(place.logFile, 'utf8');
    const page = async (url: string): Promise<string> => (await fetch(url)).text();

    // What serves is the same on all of them.
    const servesAll = name === 'freebsd';
    const assertPages = async (): Promise<void> => {
      if (servesAll) assert.match(await page(`${url('hg')}/one/`), /First changeset/);
      assert.match(await page(`${url('git')}/one.git/`), /First commit/);
    };

    before(async () => {
      place = await makePlace(systems[name]);
      const hgrc = '[web]\nallow-push = *\npush_ssl = no\n';
      if (servesAll) await makeRepository(join(place.repos, 'hg/one'), { 'read.me': 'hello\n' }, hgrc);
      await makeBareRepository(join(place.repos, 'git/one.git'), { 'read.me': 'hello\n' });
      await git(['config', 'http.receivepack', 'true'], join(place.repos, 'git/one.git'));
      const config = join(place.directory, 'sites.toml');
      const site = (kind: string, settings: string): string =>
        `[site.${kind}]\nkind = "${kind}"\nlisten = "unix:${socketOf(kind)}"\nkill-grace = "1s"\n${settings}\n`;
      await writeFile(
        config,
        (servesAll
          ? site('hg', `repos = "${place.repos}/hg"\nrunner = "warm"\ntrust-remote-user = true`)
          : '') +
          site('git', `repos = "${place.repos}/git"\nrunner = "warm"\ntrust-remote-user = true`) +
          site('script', `file = "${fixture('cgi/hangs-with-grandchild.sh')}"`),
      );
      installation = elsewhere(await temporaryDirectory(), name);
      rc = await installScript(name, place, config, installation);
      succeeded(await rc('start'));
      assert.match(await log(), /programs are started by Node, at a higher cost/);
      for (const each of servesAll ? (['git', 'hg'] as const) : (['git'] as const))
        webs.push(await startPassing('nginx', socketOf(each)));
    });
    after(async () => {
      for (const web of webs) await web.stop();
    });

    it(`pages of ${servesAll ? 'Mercurial and git' : 'git'} come from new processes, then from fork servers`, async () => {
      const ready = async (): Promise<number> => (await log()).match(/fork server is ready/g)?.length ?? 0;
      for (let round = 0; round < 2; round++) {
        await assertPages();
        await until(async () => (await ready()) >= webs.length);
      }
    });

    if (servesAll) {
      it('pages come all the same where the fork servers have been killed', async () => {
        const left = processesWith(`${installation.directory}/scripts/warm`);
        assert.ok(left.length >= 2);
        // Some end by themselves as soon as the first has.
        for (const each of left) trySignal(each, 'SIGKILL');
        await assertPages();
      });

      it('Mercurial clones and pushes', async () => {
        const clone = join(await temporaryDirectory(), 'clone');
        await hg(['clone', '-q', `${url('hg')}/one`, clone]);
        await writeFile(join(clone, 'read.me'), 'changed\n');
        await hg(['commit', '-q', '-m', 'Change it'], clone);
        await hg(['push', '-q', `${url('hg')}/one`], clone);
        assert.match(await hg(['log', '-T', '{desc}\n'], join(place.repos, 'hg/one')), /^Change it$/m);
      });

      it('git clones and pushes', async () => {
        const clone = join(await temporaryDirectory(), 'clone');
        await git(['clone', '-q', `${url('git')}/one.git`, clone]);
        await git(['commit', '-q', '--allow-empty', '-m', 'Change it'], clone);
        await git(['push', '-q', 'origin', 'main'], clone);
        assert.match(
          await git(['log', '--format=%s', 'main'], join(place.repos, 'git/one.git')),
          /^Change it$/m,
        );
      });

      it('nothing is left of a request that its web server gives up', async () => {
        const requester = connect(socketOf('script'));
        const request = requester.send([['REQUEST_METHOD', 'GET']]);
        request.stdin.end();
        const [, leader, grandchild] = await answered(request, /(\d+) (\d+)\n/);
        requester.close();
        for (const each of [leader, grandchild]) await vanished(Number(each));
      });
    }

    it('a new process takes the place of the daemon', async () => {
      const before = await pid();
      succeeded(await rc('upgrade'));
      assert.notEqual(await pid(), before);
      await vanished(before);
      await assertPages();
    });

    it('the daemon stops, and leaves neither process nor file', async () => {
      succeeded(await rc(systems[name].ask));
      const daemon = await pid();
      succeeded(await rc('stop'));
      assert.equal(isRunning(daemon), false);
      assert.deepEqual(await readdir(dirname(place.pidFile)), []);
      assert.equal((await rc(systems[name].ask)).status, systems[name].notRunning);
    });
  });
}
