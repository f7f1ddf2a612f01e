/** The words that are kept out of code, scripts and documents, so that one thing has one name and prose stays plain. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { filesBelow, textOf } from './helpers/documents.js';

const files = ['src/', 'scripts/', 'rc.d/'].flatMap(filesBelow).concat('README.md');

/** What is not to be said, what says it, and in which files if not in all. */
const words: readonly (readonly [pattern: RegExp, instead: string, where?: RegExp])[] = [
  [/\bwhoever\b/gi, 'name who acts'],
  [/\banew\b/gi, 'again'],
  [/\bthere is none\b/gi, 'name what is missing'],
  [/\bwhat is (?:no|none)\b/gi, 'say what the thing is'],
  [/\bbesides\b/gi, 'also, beside, further'],
  [/\bof ours\b/gi, 'name whose the thing is'],
  [/\bso (?:many|much|long)\b(?! as)/gi, 'say the number, the size or the time'],
  [/\bso long as\b/gi, 'while'],
  [
    /\b(?:heirs?|legacy|bequests?|bequeaths?|predecessors?|successors?|succession)\b/gi,
    'previous or next process',
  ],
  [/\bfront ends?\b/gi, 'web server, or load balancer'],
  [/\bplaces (?:are |is )?taken\b/gi, 'slots'],
  [/\bended by hand\b/gi, 'cancelled'],
  // Protocols have octets: FastCGI, and what is said to a fork server.
  [/\boctets?\b(?!-stream)/gi, 'bytes', /^README|^src\/(?!fastcgi\/|runners\/warm\/messages)/],
];

describe('The words of code, scripts and documents', () => {
  for (const [pattern, instead, where = /^/] of words) {
    it(`are not ${pattern.source}`, () => {
      const among = files.filter((file) => where.test(file));
      const found = among.flatMap((file) =>
        textOf(file)
          .split('\n')
          .flatMap((line, index) =>
            (line.match(pattern) ?? []).map((word) => `${file}:${String(index + 1)}: "${word}": ${instead}`),
          ),
      );
      assert.deepEqual(found, []);
    });
  }
});
