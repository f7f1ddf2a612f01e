import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { statusHtml } from '../../../src/observe/status/html.js';
import { statusJson } from '../../../src/observe/status/status.js';
import { statusText } from '../../../src/observe/status/text.js';
import { EVIL, sampleStatus } from '../../helpers/status.js';

/** Each field that is text from elsewhere. */
const NUMBER_OF_TEXTS = 17;

describe('A status', () => {
  it('is text of which no part does anything to a terminal, or ends a line', () => {
    const text = statusText(sampleStatus);
    assert.doesNotMatch(text, /[^\n\P{Cc}]|\p{Cf}/u);
    const lines = text.split('\n');
    assert.equal(lines.filter((line) => line.includes('alert(1)')).length, 7);
    assert.ok(lines.includes('fcgi2cgi 1.2.3, process 4711, draining, up 1 min 40 s'));
    assert.match(text, /^abcdef01-1 .* running +815 +1\.2 s +0 B +100 B/m);
    assert.match(text, /now {10}1 of 32 slots taken, 0 of 512 in the queue, 2 of 512 connections/);
    assert.match(text, /2 workers recycled, 1 crashed/);
    assert.match(
      text,
      /^site +requests\/s +running +waiting +errors\n.* 0\.3 +1 \(max 3\) +0 \(max 40\) +2 in 15 min$/m,
    );
    assert.match(text, /^ {2}running {6} {44}█ at most 3$/m);
    assert.match(text, /^ {2}errors {7} {44}█ at most 2 in 10 s$/m);
    assert.match(text, /^abcdef01-1 +815 .* 1\.5 s +3\.0 MB$/m);
    assert.match(text, /^abcdef01-0 .*2026-11-22T10:00:01 +502 +no-header ×7 +5\.0 ms +- +2\.5 s /m);
    assert.match(text, /^abcdef01-0 .* 200 +completed +5\.0 ms /m);
  });

  it('is text whose columns nobody can move by what the network sends', () => {
    const [request] = sampleStatus.requests;
    assert.ok(request);
    const evil = '1  2  GET /forged by /bin/x';
    const text = statusText({
      ...sampleStatus,
      requests: [{ ...request, client: evil, method: evil, uri: evil }],
    });
    const line = text.split('\n').find((each) => each.startsWith('abcdef01-1 ')) ?? '';
    assert.ok(!line.includes('GET /forged'), line);
    assert.equal(line.split(/ {2,}/).length, 9, line);
  });

  it('is a page with no element that came from the network, and no way to load anything', () => {
    const page = statusHtml(sampleStatus);
    assert.ok(!page.includes('<script'));
    assert.doesNotMatch(page, /\p{Cf}|\u001b|(src|href)="[^?]/u);
    assert.ok(page.split('&lt;script&gt;alert(1)').length > NUMBER_OF_TEXTS);
    assert.match(page, /&amp;amp;/);
  });

  it('is a page with a main part, named columns and nothing that only a mouse can scroll', () => {
    const page = statusHtml(sampleStatus);
    assert.match(page, /<main>[^]*<h1>[^]*<\/main>/);
    assert.doesNotMatch(page, /<th[^>]*><\/th>|class="(?:scroll|long)">/);
  });

  it('is a page that begins with a row and graphs of each site', () => {
    const page = statusHtml(sampleStatus);
    const [overview = '', after = ''] = page.split('<h2>Active requests</h2>');
    assert.match(overview, /<td class="n">0\.3<\/td><td class="n">1 <span class="quiet">max 3<\/span><\/td>/);
    assert.match(overview, /max 40<\/span><\/td><td class="n"><span class="alarm">2<\/span>/);
    assert.equal(overview.split('<svg').length, 4);
    // Of two periods the first has half of the most, at the right end of the graph.
    assert.match(overview, /running<\/span> [^]*<path class="queue line" d="M88,2L89,40"\/>/);
    assert.match(after, /<h3>Their processes<\/h3>.*<td class="n">1\.5 s<\/td><td class="n">3\.0 MB<\/td>/s);
    assert.match(
      after,
      /Last failed requests.*502 no-header × 7<.*waited 5\.0 ms.*Slowest requests.*200 completed<.*2\.5 s/s,
    );
  });

  it('is the same where a site is not watched', () => {
    const [site] = sampleStatus.sites;
    assert.ok(site);
    const status = { ...sampleStatus, sites: [{ ...site, activity: undefined }] };
    assert.ok(!statusHtml(status).includes('<svg'));
    assert.match(statusText(status), / - +1 +0 +-\n/);
    assert.match(statusJson(status), /"activity":null/);
  });

  it('is a page that is loaded anew only if that is asked for', () => {
    assert.doesNotMatch(statusHtml(sampleStatus), /http-equiv/);
    assert.match(statusHtml(sampleStatus, 5), /<meta http-equiv="refresh" content="5">/);
  });

  it('is JSON with the names of the logs, null for what is not known, and times to the tenth', () => {
    const parsed = JSON.parse(statusJson(sampleStatus)) as {
      event_loop: unknown;
      sites: {
        activity: unknown;
        counts: { total: { buckets: unknown[] } };
        warm: { fork_servers: { pid: unknown }[] };
      }[];
      requests: { uri: string; in_bytes: number; processes: unknown[] }[];
      failed: { reason: string; times: number }[];
      slowest: { first_ms: unknown }[];
    };
    assert.deepEqual(parsed.sites[0]?.activity, {
      ...{ requests_per_second: 0.3, max_running: 3, max_waiting: 40, period_ms: 10_000 },
      ...{ requests: [1, 4], errors: [0, 2], running: [1, 3], waiting: [40, 0] },
    });
    assert.deepEqual(parsed.requests[0]?.processes, [
      { pid: 815, command: EVIL, cpu_ms: 1_500, resident_bytes: 3 << 20 },
    ]);
    assert.deepEqual(
      parsed.failed.map(({ reason, times }) => [reason, times]),
      [[EVIL, 7]],
    );
    assert.deepEqual(
      parsed.slowest.map(({ first_ms }) => first_ms),
      [null],
    );
    assert.deepEqual(parsed.event_loop, { busy_ms: 1_000, delay_ms: 0.3 });
    assert.deepEqual(
      parsed.sites.flatMap(({ warm }) => warm.fork_servers.map(({ pid }) => pid)),
      [null],
    );
    assert.deepEqual(parsed.sites[0].counts.total.buckets.at(-1), { max_ms: null, count: 3 });
    assert.deepEqual(
      parsed.requests.map(({ uri, in_bytes }) => [uri, in_bytes]),
      [[EVIL, 0]],
    );
  });

  it('says so where there is nothing', () => {
    const idle = { ...sampleStatus, sites: [], requests: [], failed: [], slowest: [] };
    assert.match(statusText(idle), /\nno request runs\n$/);
    assert.match(statusHtml(idle), /None is active/);
  });
});
