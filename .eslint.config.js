import eslint from '@eslint/js';
import tseslint from 'typescript-eslint';

/** The dependency direction, downward only: which folders of src a folder must not know. */
const mayNotImport = {
  base: ['posix', 'fastcgi', 'cgi', 'process', 'sites', 'runners', 'observe', 'daemon', 'cli'],
  posix: ['fastcgi', 'cgi', 'process', 'sites', 'runners', 'observe', 'daemon', 'cli'],
  fastcgi: ['cgi', 'process', 'sites', 'runners', 'observe', 'daemon', 'cli'],
  cgi: ['fastcgi', 'process', 'sites', 'runners', 'observe', 'daemon', 'cli'],
  process: ['fastcgi', 'cgi', 'sites', 'runners', 'observe', 'daemon', 'cli'],
  sites: ['fastcgi', 'process', 'runners', 'observe', 'daemon', 'cli'],
  runners: ['sites', 'observe', 'daemon', 'cli'],
  observe: ['fastcgi', 'cgi', 'process', 'sites', 'runners', 'daemon', 'cli'],
  daemon: ['cli'],
};

export default tseslint.config(
  { ignores: ['dist', 'coverage', 'node_modules', '.demo'] },
  eslint.configs.recommended,
  ...tseslint.configs.strictTypeChecked,
  ...tseslint.configs.stylisticTypeChecked,
  {
    files: ['**/*.ts'],
    languageOptions: { parserOptions: { project: './tsconfig.json' } },
    rules: {
      '@typescript-eslint/prefer-nullish-coalescing': ['error', { ignorePrimitives: { string: true } }],
      // Index signatures are read with brackets, so that a misspelled property of a known type still fails.
      '@typescript-eslint/dot-notation': ['error', { allowIndexSignaturePropertyAccess: true }],
      'no-control-regex': 'off',
    },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/main.ts'],
    rules: { 'no-restricted-properties': ['error', { object: 'process', property: 'exit' }] },
  },
  {
    files: ['src/**/*.ts'],
    ignores: ['src/process/start-process.ts'],
    rules: { 'no-restricted-imports': ['error', 'cross-spawn'] },
  },
  ...Object.entries(mayNotImport).map(([folder, others]) => ({
    files: [`src/${folder}/**/*.ts`],
    rules: {
      '@typescript-eslint/no-restricted-imports': [
        'error',
        {
          patterns: others.map((other) => ({
            group: [`**/${other}/**`],
            message: `src/${folder} must not know src/${other}`,
          })),
        },
      ],
    },
  })),
  {
    files: ['test/**/*.ts'],
    rules: {
      // node:test's describe and it return promises that the runner itself awaits.
      '@typescript-eslint/no-floating-promises': [
        'error',
        {
          allowForKnownSafeCalls: [
            { from: 'package', package: 'node:test', name: ['describe', 'it', 'test'] },
          ],
        },
      ],
    },
  },
  { files: ['**/*.js'], ...tseslint.configs.disableTypeChecked },
);
