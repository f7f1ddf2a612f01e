/** Counts what becomes of requests, and tells programs of it in Prometheus' text format, by prom-client. */

import type { Counter, Gauge, Histogram, Registry } from 'prom-client';

import type { Access } from '../access-log.js';
import { registerGauges } from './gauges.js';
import type { Distribution, EndedCount, SiteCounts, Status } from './status.js';

/** What a request that has ended is counted by. */
export type Counted = Pick<Access, 'end' | 'status' | 'inBytes' | 'outBytes' | 'firstMs' | 'totalMs'>;

/** Bounds in seconds: from a warm page to the clone of a large repository. */
const BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

type Client = typeof import('prom-client');

/** The counts of all sites of a daemon. */
export class Metrics {
  readonly contentType: string;
  readonly #registry: Registry;
  readonly #ended: Counter<'site' | 'end' | 'status'>;
  readonly #received: Counter<'site'>;
  readonly #sent: Counter<'site'>;
  readonly #firstByte: Histogram<'site'>;
  readonly #total: Histogram<'site'>;
  readonly #setGauges: (status: Status) => void;
  /** Those that have series. */
  readonly #sites = new Set<string>();

  private constructor(client: Client) {
    this.#registry = new client.Registry();
    const registers = [this.#registry];
    this.contentType = this.#registry.contentType;
    this.#ended = new client.Counter({
      name: 'fcgi2cgi_requests_total',
      help: 'Requests that have ended, by what ended them (the words of the access log) and class of status.',
      labelNames: ['site', 'end', 'status'],
      registers,
    });
    const bytes = (name: string, help: string): Counter<'site'> =>
      new client.Counter({ name, help, labelNames: ['site'], registers });
    this.#received = bytes(
      'fcgi2cgi_received_bytes_total',
      'Bytes of the bodies of requests that have ended.',
    );
    this.#sent = bytes('fcgi2cgi_sent_bytes_total', 'Bytes of the answers of requests that have ended.');
    const seconds = (name: string, help: string): Histogram<'site'> =>
      new client.Histogram({ name, help, labelNames: ['site'], buckets: BUCKETS, registers });
    this.#firstByte = seconds(
      'fcgi2cgi_first_byte_seconds',
      'From the end of the params to the first byte of the answer.',
    );
    this.#total = seconds(
      'fcgi2cgi_request_seconds',
      'From the end of the params to the end of the request.',
    );
    this.#setGauges = registerGauges(client, this.#registry);
  }

  /** The library costs memory and time at the start, which only those pay who ask. */
  static async open(): Promise<Metrics> {
    const { default: client } = (await import('prom-client')) as unknown as { default: Client };
    return new Metrics(client);
  }

  /** Gives what counts the requests of a site; it costs some microseconds a request. */
  counter(site: string): (ended: Counted) => void {
    const bySite = { site };
    // A series that is there from the start, and not only with the first event, is one that rates can be made of.
    this.#ended.inc({ site, end: 'completed', status: '2xx' }, 0);
    for (const counter of [this.#received, this.#sent]) counter.inc(bySite, 0);
    // A site that is made again goes on with what was counted; `zero` would take that away.
    if (!this.#sites.has(site)) for (const each of [this.#firstByte, this.#total]) each.zero(bySite);
    this.#sites.add(site);
    return ({ end, status, inBytes, outBytes, firstMs, totalMs }) => {
      this.#ended.inc({ site, end, status: statusClass(status) });
      this.#received.inc(bySite, inBytes);
      this.#sent.inc(bySite, outBytes);
      if (firstMs !== undefined) this.#firstByte.observe(bySite, firstMs / 1_000);
      this.#total.observe(bySite, totalMs / 1_000);
    };
  }

  async countsOf(site: string): Promise<SiteCounts> {
    const { values } = await this.#ended.get();
    const ended = values
      .filter(({ labels, value }) => labels.site === site && value > 0)
      .map(
        ({ labels, value }) => ({ end: labels.end, status: labels.status, requests: value }) as EndedCount,
      );
    return {
      ended,
      receivedBytes: await valueOf(this.#received, site),
      sentBytes: await valueOf(this.#sent, site),
      firstByte: await distributionOf(this.#firstByte, site),
      total: await distributionOf(this.#total, site),
    };
  }

  /** All of it, and what `status` says, as Prometheus reads it. */
  text(status: Status): Promise<string> {
    this.#setGauges(status);
    return this.#registry.metrics();
  }
}

function statusClass(status: number | undefined): string {
  return status === undefined ? 'none' : `${String(Math.floor(status / 100))}xx`;
}

async function valueOf(counter: Counter<'site'> | Gauge<'site'>, site: string): Promise<number> {
  const { values } = await counter.get();
  return values.find(({ labels }) => labels.site === site)?.value ?? 0;
}

async function distributionOf(histogram: Histogram<'site'>, site: string): Promise<Distribution> {
  const { values } = await histogram.get();
  const own = values.filter(({ labels }) => labels.site === site);
  const valueNamed = (suffix: string): number =>
    own.find(({ metricName }) => metricName?.endsWith(suffix) === true)?.value ?? 0;
  return {
    count: valueNamed('_count'),
    sumMs: 1_000 * valueNamed('_sum'),
    buckets: own.flatMap(({ labels, value }) => {
      const { le } = labels as { readonly le?: string | number };
      if (le === undefined) return [];
      return [{ maxMs: le === '+Inf' ? Infinity : Math.round(1e6 * Number(le)) / 1_000, count: value }];
    }),
  };
}
