import assert from 'node:assert/strict';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { before, describe, it } from 'node:test';

import fc from 'fast-check';

import { HgRepositories } from '../../src/sites/hg/repository.js';
import { Publication } from '../../src/sites/publication.js';
import { later, stepsBelow, type TakeSteps } from '../../src/sites/steps.js';
import { Trees } from '../../src/sites/trees.js';
import { temporaryDirectory } from '../helpers/temporary.js';
import { isFull } from '../helpers/webserver-table.js';

const names = ['a', 'b', 'a.hg', 'b.hg', '.c.hg', '.hg'];
const depth = 3;

/** All paths of up to that many names. */
const paths = (length: number): string[][] =>
  length === 0 ? [[]] : [[], ...names.flatMap((name) => paths(length - 1).map((rest) => [name, ...rest]))];
const allPaths = paths(depth).filter((path) => path.length > 0);

const place = fc.tuple(
  fc.constantFrom('repos', 'repos', 'markers', 'markers', 'outside'),
  fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: depth }),
);
const kind = fc.constantFrom('repository', 'repository', 'marker', 'marker', 'bundle', 'directory', 'link');
const trees = fc.array(fc.record({ place, kind, target: place }), { minLength: 1, maxLength: 14 });

type Tree = typeof trees extends fc.Arbitrary<infer T> ? T : never;

/** Makes as much of the tree as fits: what is in the way of something else stays. */
function plant(root: string, tree: Tree): void {
  for (const directory of ['repos', 'markers', 'outside']) mkdirSync(join(root, directory));
  for (const {
    place: [top, names],
    kind,
    target,
  } of tree) {
    const path = join(root, top, ...names);
    try {
      mkdirSync(dirname(path), { recursive: true });
      if (kind === 'repository') mkdirSync(join(path, '.hg'), { recursive: true });
      else if (kind === 'directory') mkdirSync(path);
      else if (kind === 'link') symlinkSync(join(root, target[0], ...target[1].slice(1)), path);
      else writeFileSync(path, kind === 'marker' ? '' : 'HG20', { flag: 'wx' });
    } catch (error) {
      assert.match(String((error as NodeJS.ErrnoException).code), /^(EEXIST|ENOTDIR|ENOENT|ELOOP)$/);
    }
  }
}

const attempt = <T>(look: () => T): T | undefined => {
  try {
    return look();
  } catch {
    return undefined;
  }
};

/**
 * The real path of the repository that exactly this path publishes, told in another way than the source tells it;
 * `'withheld'` where something leads out of it: for a list, of what lies at the top.
 */
function expected(
  root: string,
  path: readonly string[],
  { markers, isListed }: { markers: boolean; isListed: boolean },
): string | undefined {
  if (path.some((name) => name.startsWith('.'))) return undefined;
  const walked = join(root, markers ? 'markers' : 'repos');
  const inWalked = path.map((_, index) => lstat(join(walked, ...path.slice(0, index + 1))));
  if (inWalked.slice(0, -1).some((stats) => stats?.isDirectory() !== true)) return undefined;
  let named = path.join('/');
  if (markers) {
    const marker = inWalked.at(-1);
    if (marker?.isFile() !== true || marker.size !== 0 || !named.endsWith('.hg')) return undefined;
    named = named.slice(0, -'.hg'.length);
  }
  const real = attempt(() => realpathSync(join(root, 'repos', named)));
  const dotHg = real === undefined ? undefined : attempt(() => realpathSync(join(real, '.hg')));
  const repos = join(root, 'repos');
  const isInside = (found: string | undefined): boolean =>
    found === undefined || found === repos || found.startsWith(`${repos}/`);
  if (real === undefined || dotHg === undefined) return isInside(real) ? undefined : 'withheld';
  if (![real, dotHg].every(isInside)) return 'withheld';
  if (!lstatSync(dotHg).isDirectory()) return undefined;
  const read = new Set([dotHg]);
  for (const directory of read) {
    for (const name of readdirSync(directory)) {
      const led = attempt(() => realpathSync(join(directory, name)));
      if (!isInside(led)) return 'withheld';
      if (!isListed && led !== undefined && lstatSync(led).isDirectory()) read.add(led);
    }
  }
  return real;
}

function lstat(path: string): ReturnType<typeof lstatSync> | undefined {
  return attempt(() => lstatSync(path));
}

/** What a path begins with: something published, or what is so with the suffix where nothing has the name itself. */
function called(
  walked: string,
  path: readonly string[],
  published: ReadonlyMap<string, string>,
): string[] | undefined {
  for (const index of path.keys()) {
    const segments = path.slice(0, index + 1);
    if (segments.at(-1)?.startsWith('.') === true) return undefined;
    if (published.has(segments.join('/'))) return segments;
    if (lstat(join(walked, ...segments)) === undefined) {
      const named = `${segments.join('/')}.hg`;
      return published.has(named) ? named.split('/') : undefined;
    }
  }
  return undefined;
}

async function check(root: string, markers: boolean, take: TakeSteps): Promise<void> {
  const repos = join(root, 'repos');
  const repositories = new HgRepositories(repos, new Trees(repos));
  const publication = new Publication({
    repos,
    markers: markers ? join(root, 'markers') : undefined,
    suffix: '.hg',
    repositoryAt: (path, isListed) => repositories.at(path, isListed),
    lackOf: (path) => repositories.lackOf(path),
    take,
  });
  const published = publishedIn(root, { markers, isListed: false });
  for (const path of allPaths) {
    const found = await publication.find(path);
    const segments = called(join(root, markers ? 'markers' : 'repos'), path, published) ?? [];
    const repository = published.get(segments.join('/'));
    const withheld = repository === 'withheld' || repository === undefined;
    const shown = found === undefined || 'why' in found ? undefined : found;
    assert.deepEqual(shown?.published.segments, withheld ? undefined : segments, `find ${path.join('/')}`);
    if (withheld) continue;
    assert.equal(shown?.published.repository, repository);
    assert.deepEqual(shown.rest, path.slice(segments.length));
  }
  const listed = await publication.list([]);
  assert.deepEqual(
    listed.map(({ segments, repository }) => [segments.join('/'), repository]),
    [...publishedIn(root, { markers, isListed: true })]
      .filter(([, repository]) => repository !== 'withheld')
      .sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

/** What each path publishes or withholds; nothing below it does. */
function publishedIn(
  root: string,
  how: { markers: boolean; isListed: boolean },
): ReadonlyMap<string, string> {
  const published = new Map<string, string>();
  for (const path of allPaths) {
    const covered = path.some((_, index) => published.has(path.slice(0, index).join('/')));
    const repository = covered ? undefined : expected(root, path, how);
    if (repository !== undefined) published.set(path.join('/'), repository);
  }
  return published;
}

describe('In any tree of directories, markers, repositories and symbolic links', () => {
  let directory: string;
  before(async () => {
    directory = realpathSync(await temporaryDirectory());
  });

  for (const markers of [true, false]) {
    it(`nothing outside is found or listed, and all else is, ${markers ? 'with' : 'without'} markers`, async () => {
      await fc.assert(
        fc.asyncProperty(trees, async (tree) => {
          const root = mkdtempSync(join(directory, 'tree-'));
          try {
            plant(root, tree);
            for (const take of [later, await stepsBelow([directory])]) await check(root, markers, take);
          } finally {
            rmSync(root, { recursive: true });
          }
        }),
        { numRuns: isFull ? 100 : 20 },
      );
    });
  }
});
