/** The table of what is done: each row says for which site, how it is asked, and what a right answer looks like. */

import { succeed } from '../helpers/command.js';
import { curl, driveCommand, drivePages, type Load, type Sample } from './drive.js';
import { type ListName, lists, type Place, type SiteName } from './sites.js';

export interface Work {
  readonly name: string;
  readonly site: SiteName;
  /** Once, before it is measured. @throws Error where the answer is not right */
  readonly check: (url: string, place: Place) => Promise<unknown>;
  readonly drive: (url: string, place: Place, load: Load) => Promise<Sample>;
  /** How many requests to the site it makes, where that is not one. */
  readonly requests?: number;
  /** Whether it is done only where it is named, as it takes long. */
  readonly isLong?: boolean;
  /** For transfers that one connection is enough for. */
  readonly isSingle?: boolean;
  /** How many connections are tried. */
  readonly concurrencies: readonly number[];
}

/** Of the works that stand for their kind, the others, and those that are more than a request. */
const [EVERY, SOME, SEVERAL] = [[1, 2, 4, 16], [1, 4], [4]] as const;

const page = (
  name: string,
  site: SiteName,
  path: string,
  right: RegExp,
  concurrencies: readonly number[] = SOME,
): Work => ({
  ...{ name, site, concurrencies },
  check: async (url) => {
    const response = await fetch(`${url}${path}`);
    const text = await response.text();
    if (response.status !== 200 || !right.test(text)) {
      throw new Error(`${name}: ${String(response.status)} ${text.slice(0, 300)}`);
    }
  },
  drive: (url, _, load) => drivePages(`${url}${path}`, load),
});

const command = (
  name: string,
  site: SiteName,
  run: (url: string, place: Place, scratch: string) => Promise<{ readonly firstMs?: number }>,
  more: Pick<Work, 'isSingle' | 'requests'> = {},
): Work => ({
  ...{ name, site, concurrencies: more.isSingle === true ? [1] : SEVERAL, ...more },
  check: async (url, place) => {
    await driveCommand((scratch) => run(url, place, scratch), { concurrency: 1, requests: 1 }).then(
      ({ failures }) => {
        if (failures > 0) throw new Error(`${name}: it failed at ${url}`);
      },
    );
  },
  drive: (url, place, load) => driveCommand((scratch) => run(url, place, scratch), load),
});

const hgEnvironment = { ...process.env, HGPLAIN: '1', HGRCPATH: '' };

export const works: readonly Work[] = [
  page('compiled CGI', 'cgi', '/', /^bench\n$/, EVERY),
  page('hg log, 100 changesets', 'hg', '/small/log', /r99\b[^]*<\/html>/, EVERY),
  page('hg log, 5000 changesets', 'hg', '/large/log', /r4999\b[^]*<\/html>/),
  page('hg capabilities', 'hg', '/small?cmd=capabilities', /\bunbundle=/, SEVERAL),
  command(
    'hg clone',
    'hg',
    async (url, _, scratch) => {
      await succeed('hg', ['clone', '-q', '-U', `${url}/small`, scratch], { env: hgEnvironment });
      return {};
    },
    { requests: 3 },
  ),
  page('git info/refs', 'git', '/small.git/info/refs?service=git-upload-pack', /refs\/heads\/main/, EVERY),
  command(
    'git clone',
    'git',
    async (url, _, scratch) => {
      await succeed('git', ['clone', '-q', '--bare', `${url}/small.git`, scratch]);
      return {};
    },
    { requests: 2 },
  ),
  page('gitweb summary', 'gitweb', '/?p=small.git;a=summary', /Change 99\b[^]*<\/html>/, EVERY),
  page('gitweb project list', 'gitweb', '/?a=project_index', /^small\.git/m, SEVERAL),
  page('gitweb tree', 'gitweb', '/?p=small.git;a=tree', /directory0[^]*<\/html>/),
  page(
    'gitweb blob',
    'gitweb',
    '/?p=small.git;a=blob;f=directory1/file19.txt',
    /line.*of.*change.*99[^]*<\/html>/,
  ),
  page('gitweb commitdiff', 'gitweb', '/?p=small.git;a=commitdiff', /line.*of.*change.*99[^]*<\/html>/),
  ...(Object.keys(lists) as ListName[]).map((site) => {
    const { of, repositories } = lists[site];
    const name = `${of} list, ${String(repositories)} repositories`;
    const right = new RegExp(`\\b${String(repositories)}\\.git\\b[^]*</html>`);
    return { ...page(name, site, '/', right, [1]), isLong: repositories > 1_000 };
  }),
  command('download', 'down', (url, { bytes }) => curl(`${url}/`, bytes, ['-o', '/dev/null']), {
    isSingle: true,
  }),
  command(
    'upload',
    'up',
    async (url, { upload, bytes }) => {
      // curl would wait for a 100 Continue, which only some programs and servers give.
      const args = ['-X', 'POST', '-H', 'Expect:', '-T', upload];
      return curl(`${url}/`, String(bytes).length + 1, args);
    },
    { isSingle: true },
  ),
];
