/**
 * Bundles the compiled command and library with all that they need into dist/bin/bundled: to find and read 200 files, most of them others'
 * packages, took as long as everything else that it does until it listens.
 */

import { chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

import { build, type BuildOptions, type Plugin } from 'esbuild';

const root = fileURLToPath(new URL('../..', import.meta.url));
/** As deep as what is compiled, which finds by that what the package has beside it (`package.ts`). */
const outdir = join(root, 'dist/bin/bundled');

/**
 * By package, what is imported of it: to load one takes as long as half of our own code, and only --help, or a log of JSON,
 * wants it.
 */
const late: Readonly<Record<string, string>> = { 'string-width': 'default', pino: 'pino' };

/** Loads these packages when they are first called. */
const loadLate: Plugin = {
  name: 'load-late',
  setup(build) {
    build.onResolve(
      { filter: new RegExp(`^(${Object.keys(late).join('|')})$`) },
      async ({ path: name, resolveDir, kind, pluginData }) => {
        if (pluginData === 'found') return undefined;
        const { path } = await build.resolve(name, { resolveDir, kind, pluginData: 'found' });
        return { path: relative(root, path), namespace: 'late', pluginData: late[name] };
      },
    );
    build.onLoad({ filter: /.*/, namespace: 'late' }, ({ path, pluginData }) => {
      const called = `(...args) => require('./${path}').${String(pluginData)}(...args)`;
      return {
        contents:
          pluginData === 'default'
            ? `export default ${called};`
            : `export const ${String(pluginData)} = ${called};`,
        resolveDir: root,
      };
    });
  },
};

const shared: BuildOptions & { metafile: true } = {
  absWorkingDir: root,
  // One file for each: forty took longer to find and read, and what is read late would be another version's after an upgrade.
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  // It has a part for each kind of machine, and may be missing.
  external: ['koffi'],
  plugins: [loadLate],
  metafile: true,
  logLevel: 'warning',
};

const command = await build({
  ...shared,
  entryPoints: ['dist/src/main.js'],
  outfile: join(outdir, 'fcgi2cgi.js'),
  // Node loads this format, and lines without comments and indents, in three quarters of the time. Short lines: Node
  // prints the line of an error that nobody has caught.
  format: 'cjs',
  minifyWhitespace: true,
  lineLimit: 120,
  define: { 'import.meta.url': 'importMetaUrl' },
  banner: {
    js: `'use strict';
// Read once, when Node makes its threads. src/base/threads.ts shares them out; serve may have many sites.
process.env.UV_THREADPOOL_SIZE ??= process.argv.includes('serve') ? '128' : '16';
const importMetaUrl = require('node:url').pathToFileURL(__filename).href;`,
  },
});

const library = await build({
  ...shared,
  entryPoints: ['dist/src/index.js'],
  outfile: join(outdir, 'index.mjs'),
  format: 'esm',
  // Packages that are not modules ask for Node's parts by it.
  banner: {
    js: "import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);",
  },
});

/** The directories of the packages that are in the bundle. */
const packages = Object.keys({ ...command.metafile.inputs, ...library.metafile.inputs })
  .map((path) => /^node_modules\/(?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/]+/.exec(path)?.[0])
  .filter((path) => path !== undefined);

const licences = [...new Set(packages)].sort().map((path) => {
  const name = readdirSync(join(root, path)).find((file) => /^licen[cs]e([-.].*)?$/i.test(file));
  const { license } = JSON.parse(readFileSync(join(root, path, 'package.json'), 'utf8')) as {
    license: string;
  };
  const text = name === undefined ? license : readFileSync(join(root, path, name), 'utf8').trim();
  return `${path.replace(/^.*node_modules\//, '')}\n\n${text}\n`;
});

writeFileSync(join(outdir, 'LICENSES'), licences.join(`\n${'-'.repeat(80)}\n\n`));
chmodSync(join(outdir, 'fcgi2cgi.js'), 0o755);
writeFileSync(join(outdir, 'package.json'), '{ "type": "commonjs" }\n');
