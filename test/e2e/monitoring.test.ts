/** The dashboard and the alert rules that the package has: each is checked by what reads it, with the metrics of a daemon. */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

import { resultWords } from '../../src/base/results.js';
import { fixture, runBridge } from '../helpers/bridge.js';
import { ask } from '../helpers/ask.js';
import { serve } from '../helpers/served.js';
import { temporaryDirectory } from '../helpers/temporary.js';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const folder = join(root, 'scripts/monitoring');
const textOf = (name: string): string => readFileSync(join(folder, name), 'utf8');

/** What `promtool` says; it fails the test if it finds anything. */
const promtool = (...args: string[]): string =>
  execFileSync('promtool', args, { encoding: 'utf8', stdio: 'pipe' });

/** Series of a daemon with which all is well, over two hours of a minute each. */
const well: Readonly<Record<string, string>> = {
  fcgi2cgi_info: '1x120',
  up: '1x120',
  process_start_time_seconds: '1000x120',
  'fcgi2cgi_requests_total{site="hg",end="completed",status="2xx"}': '0+600x120',
  'fcgi2cgi_requests_total{site="hg",end="refused",status="4xx"}': '0+600x120',
  'fcgi2cgi_requests_total{site="hg",end="aborted",status="none"}': '0+600x120',
  'fcgi2cgi_requests_total{site="hg",end="completed",status="5xx"}': '0x120',
  'fcgi2cgi_requests_total{site="hg",end="no-header",status="5xx"}': '0+1x120',
  'fcgi2cgi_requests_total{site="hg",end="not-admitted",status="5xx"}': '0x120',
  'fcgi2cgi_queue_length{site="hg"}': '10x120',
  'fcgi2cgi_queue_length_max{site="hg"}': '100x120',
  'fcgi2cgi_slots_taken{site="hg"}': '3x120',
  'fcgi2cgi_slots{site="hg"}': '4x120',
  'fcgi2cgi_connections{site="hg"}': '3x120',
  'fcgi2cgi_connections_max{site="hg"}': '40x120',
  'fcgi2cgi_first_byte_seconds_bucket{site="hg",le="10"}': '0+60x120',
  'fcgi2cgi_first_byte_seconds_bucket{site="hg",le="30"}': '0+61x120',
  'fcgi2cgi_first_byte_seconds_bucket{site="hg",le="+Inf"}': '0+61x120',
  'fcgi2cgi_worker_crashes_total{site="hg"}': '0x120',
  'fcgi2cgi_fork_servers_started_total{site="hg"}': '0x100 1x20',
  fcgi2cgi_event_loop_busy_seconds_total: '0+6x120',
};

/** Of these alerts each is fired by these series alone. */
const troubles: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  Fcgi2cgiNotSeen: { up: '1x100 0x20' },
  Fcgi2cgiErrors: { 'fcgi2cgi_requests_total{site="hg",end="no-header",status="5xx"}': '0+200x120' },
  Fcgi2cgiScriptErrors: { 'fcgi2cgi_requests_total{site="hg",end="completed",status="5xx"}': '0+200x120' },
  Fcgi2cgiNotAdmitted: { 'fcgi2cgi_requests_total{site="hg",end="not-admitted",status="5xx"}': '0+1x120' },
  Fcgi2cgiQueue: { 'fcgi2cgi_queue_length{site="hg"}': '10x100 90x20' },
  Fcgi2cgiSlots: { 'fcgi2cgi_slots_taken{site="hg"}': '3x100 4x20' },
  Fcgi2cgiConnections: { 'fcgi2cgi_connections{site="hg"}': '3x100 39x20' },
  Fcgi2cgiSlow: { 'fcgi2cgi_first_byte_seconds_bucket{site="hg",le="10"}': '0+50x120' },
  Fcgi2cgiWorkersCrash: { 'fcgi2cgi_worker_crashes_total{site="hg"}': '0x110 0+1x10' },
  Fcgi2cgiForkServersEnd: { 'fcgi2cgi_fork_servers_started_total{site="hg"}': '0+1x120' },
  Fcgi2cgiEventLoop: { fcgi2cgi_event_loop_busy_seconds_total: '0+57x120' },
  Fcgi2cgiRestarts: { process_start_time_seconds: '1000x100 1000+9x20' },
};

describe('The dashboard and the alert rules', { timeout: 120_000 }, () => {
  let metrics: string;
  const texts = ['dashboard.json', 'alerts.yml'].map(textOf);

  before(async () => {
    const control = join(await temporaryDirectory(), 'control');
    const served = await serve(['script', '--control', control, fixture('cgi/prints-environment.sh')]);
    await ask(served.socket);
    metrics = (await runBridge(['status', control, '--prometheus'])).stdout;
    await served.stop();
  });

  it('are of metrics that a daemon has, with the labels that these have', () => {
    const existing = new Set(
      [...metrics.matchAll(/^# TYPE (\S+) (\S+)$/gm)].flatMap(([, name = '', type]) =>
        type === 'histogram' ? [`${name}_bucket`] : [name],
      ),
    );
    const labels = new Set(
      [...metrics.matchAll(/[{,](\w+)="/g)].map(([, label]) => label).concat('instance', 'job'),
    );
    for (const text of texts) {
      const named = [...text.matchAll(/\b(?:fcgi2cgi|process|nodejs)_\w+/g)].map(([name]) => name);
      assert.ok(named.length > 10);
      assert.deepEqual(
        named.filter((name) => !existing.has(name)),
        [],
      );
      const used = [...text.matchAll(/[{,](\w+)(?:=~|!~|!=|=)\\?"/g)].map(([, label]) => label);
      assert.ok(used.length > 3);
      assert.deepEqual(
        used.filter((label) => !labels.has(label)),
        [],
      );
      const words = [...text.matchAll(/\bend[!=]~?=?\\?"([^"\\]+)/g)].flatMap(([, list = '']) =>
        list.split('|'),
      );
      assert.ok(words.length > 3);
      assert.deepEqual(
        words.filter((word) => !(resultWords as readonly string[]).includes(word)),
        [],
      );
    }
  });

  it('include rules that Prometheus takes, beside an example that has it read the metrics', () => {
    assert.match(
      promtool('check', 'config', join(folder, 'prometheus.yml')),
      /1 rule files found[^]*12 rules found/,
    );
  });

  it('include rules of which each fires for its trouble, and none where all is well', async () => {
    const directory = await temporaryDirectory();
    const test = (fired: readonly string[], series: Readonly<Record<string, string>>) => ({
      interval: '1m',
      input_series: Object.entries({ ...well, ...series }).map(([name, values]) => ({
        series: name.includes('{')
          ? name.replace('{', '{instance="a",job="fcgi2cgi",')
          : `${name}{instance="a",job="fcgi2cgi"}`,
        values,
      })),
      promql_expr_test: [
        {
          expr: 'count by (alertname) (ALERTS{alertstate="firing"})',
          eval_time: '120m',
          exp_samples: fired.map((alertname) => ({ labels: `{alertname="${alertname}"}`, value: 1 })),
        },
      ],
    });
    const gone = { fcgi2cgi_info: '1x60 stale' };
    const notSeen = [gone, { ...gone, up: '0x120' }].map((series) => test(['Fcgi2cgiNotSeen'], series));
    const tests = [
      test([], {}),
      ...notSeen,
      ...Object.entries(troubles).map(([alert, series]) => test([alert], series)),
    ];
    const rules = textOf('alerts.yml');
    const alerts = [...rules.matchAll(/alert: (\w+)/g)].map(([, alert]) => alert);
    assert.deepEqual(Object.keys(troubles), alerts);
    const file = join(directory, 'tests.yml');
    writeFileSync(
      file,
      JSON.stringify({ rule_files: [join(folder, 'alerts.yml')], evaluation_interval: '1m', tests }),
    );
    const { status, stdout, stderr } = spawnSync('promtool', ['test', 'rules', file], { encoding: 'utf8' });
    assert.equal(status, 0, stdout + stderr);
  });

  describe('of Grafana', () => {
    // Where TypeScript finds the package's types.
    const typed = join(root, 'dist/test/dashboard-typed');
    before(() => mkdirSync(typed, { recursive: true }));
    after(() => {
      rmSync(typed, { recursive: true });
    });
    const check = (dashboard: string): string => {
      const file = join(typed, 'dashboard.ts');
      // TypeScript has it that a value of an enumeration is written by its name.
      const value = dashboard.replaceAll('"absolute"', 'ThresholdsMode.Absolute');
      const imported = "import { type Dashboard, ThresholdsMode } from '@grafana/schema';";
      writeFileSync(file, `${imported}\nexport const dashboard: Dashboard = ${value};\n`);
      const args = [
        '--noEmit',
        '--strict',
        '--skipLibCheck',
        '--ignoreConfig',
        '--module',
        'nodenext',
        '--target',
        'es2023',
        file,
      ];
      return spawnSync(join(root, 'node_modules/.bin/tsc'), args, { encoding: 'utf8' }).stdout;
    };

    it('fit its schema, in which a mistake is one', () => {
      assert.equal(check(textOf('dashboard.json')), '');
      assert.match(check(textOf('dashboard.json').replace('"gridPos"', '"gridPosition"')), /error TS/);
    });

    it('have panels that do not overlap, each with an id and queries of its own', () => {
      const { panels } = JSON.parse(textOf('dashboard.json')) as {
        panels: {
          id: number;
          gridPos: Record<'x' | 'y' | 'w' | 'h', number>;
          targets: { refId: string }[];
        }[];
      };
      assert.ok(panels.length > 10);
      assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
      const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
        Array.from({ length: w * h }, (_, at) => `${String(x + (at % w))},${String(y + Math.floor(at / w))}`),
      );
      assert.equal(new Set(cells).size, cells.length);
      assert.ok(panels.every(({ gridPos: { x, w } }) => x + w <= 24));
      for (const { targets } of panels)
        assert.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length);
    });
  });
});
