/** The words that are kept out of code, scripts and documents, so that one thing has one name and prose stays plain. */

import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { filesBelow, textOf } from './helpers/documents.js';

const files = ['src/', 'scripts/', 'rc.d/'].flatMap(filesBelow).concat('README.md', 'CHANGELOG.md');

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
  [/\boctets?\b(?!-stream)/gi, 'bytes', /^README|^CHANGELOG|^src\/(?!fastcgi\/|runners\/warm\/messages)/],
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

/** The longest sentence that readers of another language take in at once. */
const MAX_WORDS = 25;
/** What is a list of names, however long, and nothing to be read. */
const lists = [/^HTTP_PROXY , LD_\* /, /^git 1 , git-http-backend 1 /];
/** Macros that begin or end a paragraph, and those that only say how a text looks. */
const breaking = /^\.(?:Pp|Sh|Ss|It|Bl|El|Dd|Dt|Os|Nd|D1|Dl|br|sp)\b/;
const marking =
  /(?<![\w.-])(?:Xr|Sx|Cm|Fl|Ar|Pa|Ql|Qq|Sq|Dq|Em|Sy|Va|Ev|Er|Li|No|Pq|Po|Pc|Ns|Pf|Nm|Dv|Fn)(?= |$)/g;

/** The sentences of a manual page, without examples and the synopsis. */
function sentencesOfManual(name: string): readonly string[] {
  const text = textOf(name)
    .replaceAll(/^\.\\".*\n/gm, '')
    .replaceAll(/^\.Bd [^]*?^\.Ed\n/gm, '.Pp\n')
    .replaceAll(/^\.Sh SYNOPSIS\n[^]*?^(?=\.Sh )/gm, '')
    .replaceAll(/^\.Nm(?= [.,;:]|$)/gm, 'fcgi2cgi');
  const lines = text
    .split('\n')
    .map((line) => (breaking.test(line) ? '' : line.replace(/^\.(?=[A-Z])/, '').replaceAll(marking, '')));
  const paragraphs = lines.join('\n').split(/\n\s*\n/);
  // Each sentence ends with its line, as mandoc wants it.
  return paragraphs.flatMap((paragraph) => paragraph.split(/(?<=[.:!?]["”’)]*) *\n/).flatMap(cut));
}

/** The sentences of a text in Markdown, without examples, tables, headings and pictures. */
function sentencesOfMarkdown(name: string): readonly string[] {
  const text = textOf(name).replaceAll(/^```[^]*?^```$/gm, '');
  const paragraphs = text
    .split('\n')
    .map((line) => (/^(?:[|#]|!\[)/.test(line) ? '' : line.replace(/^\s*(?:[-*]|\d+\.)\s/, '\n')));
  return paragraphs
    .join('\n')
    .split(/\n\s*\n/)
    .flatMap(cut);
}

const cut = (paragraph: string): readonly string[] =>
  paragraph
    .replaceAll(/\s+/g, ' ')
    .trim()
    .split(/(?<=[.!?]) (?=[A-Z`*[])/);

const wordsOf = (sentence: string): readonly string[] =>
  sentence.split(' ').filter((word) => /\w/.test(word));

describe('The sentences of the manual pages, README.md and CHANGELOG.md', () => {
  const found = [
    ...filesBelow('src/man/').map((name) => [name, sentencesOfManual(name)] as const),
    ...['README.md', 'CHANGELOG.md'].map((name) => [name, sentencesOfMarkdown(name)] as const),
  ];
  for (const [name, sentences] of found) {
    it(`have at most ${String(MAX_WORDS)} words in ${name}`, () => {
      assert.ok(sentences.length > 20);
      const long = sentences.filter((sentence) => wordsOf(sentence).length > MAX_WORDS);
      assert.deepEqual(
        long.filter((sentence) => !lists.some((list) => list.test(sentence))),
        [],
      );
    });
  }
});
