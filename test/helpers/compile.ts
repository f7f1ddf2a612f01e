/** Programs in C, for what interpreters hide. */

import { execFileSync } from 'node:child_process';

import { fixture } from './bridge.js';

/** Compiles a fixture to a file. */
export function compile(name: string, file: string): void {
  execFileSync('cc', ['-Wall', '-Werror', '-o', file, fixture(name)]);
}
