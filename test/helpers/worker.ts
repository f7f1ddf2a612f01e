/** The FastCGI application of the fixtures, and what it has noted of the requests that it began. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { fixture } from './bridge.js';
import { temporaryDirectory } from './temporary.js';

const application = fixture('fastcgi/does-as-asked.pl');

export interface Application {
  /** To be put after `--`. */
  readonly command: readonly string[];
  /** The requests that were begun: method, query and body of each. */
  begun(): string[];
}

/** An application with notes of its own. */
export async function makeApplication(): Promise<Application> {
  const notes = join(await temporaryDirectory(), 'notes');
  const begun = (): string[] => {
    try {
      return readFileSync(notes, 'utf8')
        .trim()
        .split('\n')
        .map((line) => line.replace(/^\d+ /, '').trim());
    } catch {
      return [];
    }
  };
  return { command: [application, notes], begun };
}
