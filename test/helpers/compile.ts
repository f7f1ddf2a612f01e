/** Programs in C, for what interpreters hide. */

import { execFileSync } from 'node:child_process';

import { fixture } from './bridge.js';

/** Compiles a fixture to a file. */
export function compile(name: string, file: string, options: readonly string[] = []): void {
  execFileSync('cc', ['-Wall', '-Werror', ...options, '-o', file, fixture(name)]);
}
