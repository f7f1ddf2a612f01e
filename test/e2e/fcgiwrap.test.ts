import assert from 'node:assert/strict';
import { chmod, cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { before, describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { type Answer, connect } from '../helpers/ask.js';
import { fixture } from '../helpers/bridge.js';
import { compile } from '../helpers/compile.js';
import { startFcgiwrap } from '../helpers/fcgiwrap.js';
import { serve } from '../helpers/served.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { type Case, cases } from './fcgiwrap-cases.js';
import { deadlock, nothingYet } from './fcgiwrap-differences.js';

/** How long fcgiwrap is given to show that it does not answer. */
const DEADLOCK_MS = 1_000;

describe('The answers of fcgi2cgi dir and of fcgiwrap', { timeout: 300_000 }, () => {
  const env = { PATH: '/usr/local/bin:/usr/bin:/bin', OWN: 'of the daemon' };
  let root: string;
  let bridge: string;

  before(async () => {
    const base = await temporaryDirectory();
    root = join(base, 'root');
    await cp(fixture('cgi'), root, { recursive: true });
    await mkdir(join(root, 'sub'));
    compile('opens-by-name.c', join(root, 'opens-by-name'));
    await writeFile(join(root, 'plain.sh'), '#!/bin/sh\n', { mode: 0o644 });
    const outside = '#!/bin/sh\nprintf "Content-Type: text/plain\\r\\n\\r\\noutside\\n"\n';
    await writeFile(join(base, 'outside.sh'), outside);
    await chmod(join(base, 'outside.sh'), 0o755);
    bridge = (await serve(['dir', '--root', root], { env })).socket;
  });

  /** Asks one of them; what differs from run to run is replaced in the answer. */
  async function ask(socket: string, { script, params = [], body = '' }: Case): Promise<Answer> {
    const requester = connect(socket);
    try {
      const named: [string, string][] = script === undefined ? [] : [['SCRIPT_FILENAME', `/ROOT/${script}`]];
      const request = requester.send(
        [...named, ...params].map(([name, value]) => [name, value.replaceAll('/ROOT', root)]),
      );
      if (body !== '') request.stdin.write(Buffer.from(body, 'latin1'));
      request.stdin.end();
      const streams = [buffer(request.stdout), buffer(request.stderr)];
      const [stdout = '', stderr = ''] = (await Promise.all(streams)).map((octets) =>
        octets.toString('latin1').replaceAll(root, '/ROOT'),
      );
      // That a refusal has its reason there as well is not compared.
      const said = stderr.replace(/^fcgi2cgi: request refused: .*\n$/, '');
      return { stdout: withoutId(stdout), stderr: said, ...(await request.ended) };
    } finally {
      requester.close();
    }
  }

  for (const one of cases) {
    const differences = one.differences.length;
    it(`${differences === 0 ? 'are the same' : `differ in ${String(differences)} known ways`}: ${one.title}`, async () => {
      // One of its own for each, since some of these requests leave it in a state that it does not recover from.
      const fcgiwrap = await startFcgiwrap(env);
      const patience = one.differences.includes(deadlock) ? DEADLOCK_MS : 10_000;
      const [ours, theirs] = await Promise.all([
        ask(bridge, one),
        Promise.race([ask(fcgiwrap, one), delay(patience, nothingYet, { ref: false })]),
      ]);
      let expected = ours;
      for (const { why, theirs: change } of one.differences) {
        const changed = change(expected);
        assert.notDeepEqual(changed, expected, `this difference is gone: ${why}`);
        expected = changed;
      }
      assert.deepEqual(theirs, expected, 'fcgiwrap answers otherwise than the table says');
    });
  }

  it('differ as the table says, with the standard where one of them is wrong', () => {
    for (const { differences } of cases) {
      for (const { why, right, by } of differences) assert.ok(right === 'both' || by !== '', why);
    }
  });
});

/** The bridge's own pages name the request: the id, and with it the length, is another each time. */
function withoutId(stdout: string): string {
  const page = /Content-Length: \d+\r\nCache-Control: no-store\r\n\r\n<!DOCTYPE html>[^]*?<p>(.*?)<\/p>[^]*$/;
  return stdout.replace(page, (_, reason: string) => `<${Buffer.from(reason, 'latin1').toString()}>`);
}
