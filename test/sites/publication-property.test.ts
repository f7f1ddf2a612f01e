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

import { hgRepositoryAt } from '../../src/sites/hg/repository.js';
import { later, stepsBelow, type TakeSteps } from '../../src/sites/look-up.js';
import { Publication } from '../../src/sites/publication.js';
import { temporaryDirectory } from '../helpers/temporary.js';

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

/** The real path of the repository that exactly this path publishes, told in another way than the source tells it. */
function expected(root: string, path: readonly string[], markers: boolean): string | undefined {
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
  if (real === undefined || dotHg === undefined || !lstatSync(dotHg).isDirectory()) return undefined;
  const repos = join(root, 'repos');
  const led = readdirSync(dotHg).map((name) => attempt(() => realpathSync(join(dotHg, name))));
  const isInside = (found: string | undefined): boolean =>
    found === undefined || found === repos || found.startsWith(`${repos}/`);
  return [real, dotHg, ...led].every(isInside) ? real : undefined;
}

function lstat(path: string): ReturnType<typeof lstatSync> | undefined {
  return attempt(() => lstatSync(path));
}

async function check(root: string, markers: boolean, take: TakeSteps): Promise<void> {
  const repos = join(root, 'repos');
  const publication = new Publication({
    repos,
    markers: markers ? join(root, 'markers') : undefined,
    suffix: '.hg',
    repositoryAt: (path) => hgRepositoryAt(repos, path),
    take,
  });
  const published = new Map<string, string>();
  for (const path of allPaths) {
    const covered = path.some((_, index) => published.has(path.slice(0, index).join('/')));
    const repository = covered ? undefined : expected(root, path, markers);
    if (repository !== undefined) published.set(path.join('/'), repository);
  }
  for (const path of allPaths) {
    const found = await publication.find(path);
    const prefix = path.findIndex((_, index) => published.has(path.slice(0, index + 1).join('/')));
    const segments = prefix === -1 ? undefined : path.slice(0, prefix + 1);
    assert.deepEqual(found?.published.segments, segments, `find ${path.join('/')}`);
    if (segments === undefined) continue;
    assert.equal(found?.published.repository, published.get(segments.join('/')));
    assert.deepEqual(found?.rest, path.slice(segments.length));
  }
  const listed = await publication.list([]);
  assert.deepEqual(
    listed.map(({ segments, repository }) => [segments.join('/'), repository]),
    [...published].sort(([a], [b]) => (a < b ? -1 : 1)),
  );
}

describe('In any tree of directories, markers, repositories and symbolic links', () => {
  let directory: string;
  before(async () => {
    directory = realpathSync(await temporaryDirectory());
  });

  for (const markers of [true, false]) {
    it(`the list is what can be found and nothing outside, ${markers ? 'with' : 'without'} markers`, async () => {
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
        { numRuns: 60 },
      );
    });
  }
});
