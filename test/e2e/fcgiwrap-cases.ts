/** Scripts and requests of which fcgi2cgi and fcgiwrap are asked both. */

import * as differ from './fcgiwrap-differences.js';

export interface Case {
  readonly title: string;
  /** The script, which is named by SCRIPT_FILENAME; without it, `params` name it, or nothing does. */
  readonly script?: string;
  /** `/ROOT` in a value is the directory of the scripts. */
  readonly params?: readonly (readonly [string, string])[];
  readonly body?: string;
  readonly differences: readonly differ.Difference[];
}

const says = (title: string, output: string, ...differences: differ.Difference[]): Case => ({
  title,
  script: 'prints-query.sh',
  params: [['QUERY_STRING', output]],
  differences,
});
const breaks = (title: string, output: string, theirs = output): Case =>
  says(title, output, differ.invalidHeader(theirs));
const runs = (title: string, script: string, ...differences: differ.Difference[]): Case => ({
  title,
  script,
  differences,
});
const exits = (status: number, output: string, ...differences: differ.Difference[]): Case => ({
  ...says(`exit status ${String(status)} after ${JSON.stringify(output)}`, output, ...differences),
  params: [
    ['QUERY_STRING', output],
    ['PATH_INFO', String(status)],
  ],
});
const echoes = (contentLength: string | undefined, body: string, ...more: differ.Difference[]): Case => ({
  title: `a body of ${String(body.length)} octets, CONTENT_LENGTH ${contentLength === undefined ? 'absent' : JSON.stringify(contentLength)}`,
  script: 'echoes-body.sh',
  params: contentLength === undefined ? [] : [['CONTENT_LENGTH', contentLength]],
  body,
  differences: more.length > 0 ? more : [differ.crlf],
});
const environment = (title: string, params: [string, string][], ...more: differ.Difference[]): Case => ({
  title,
  script: 'prints-environment.sh',
  params,
  differences: [differ.gatewayInterface, differ.ownEnvironment, ...more],
});
const walks = (title: string, documentRoot: string, scriptName: string, more: differ.Difference[]): Case => ({
  title,
  params: [
    ['DOCUMENT_ROOT', documentRoot],
    ['SCRIPT_NAME', scriptName],
  ],
  differences: [differ.gatewayInterface, differ.ownEnvironment, ...more],
});
const names = (title: string, params: [string, string][], ...differences: differ.Difference[]): Case => ({
  title,
  params,
  differences,
});

const OK = 'Content-Type: text/plain\r\n\r\n';

export const cases: readonly Case[] = [
  says('a document', `${OK}hello\n`),
  says('a document whose header ends lines with LF', 'Content-Type: text/plain\n\nhello\n', differ.crlf),
  says('a header that mixes line ends', 'A: 1\r\nContent-Type: a/b\n\r\nh\n\r\nx\n', differ.crlf),
  breaks('CR alone in a header', 'Content-Type: a/b\rX: y\r\n\r\nx', 'Content-Type: a/b\r\nX: y\r\n\r\nx'),
  says('a status', 'Status: 404 Nothing\r\nContent-Type: text/plain\r\n\r\nx'),
  says('a status without a reason', 'Status: 404\r\nContent-Type: text/plain\r\n\r\nx'),
  says('fields that only HTTP knows', 'X-Y: z\r\n\r\nx'),
  says('a local redirect', 'Location: /other?x\r\n\r\n', differ.redirect),
  says('a client redirect', 'Location: http://www.example.org/\r\n\r\n', differ.redirect),
  says('a client redirect with a document', `Status: 302 Found\r\nLocation: http://x/\r\n${OK}moved`),
  says('octets that are not UTF-8', 'Content-Type: a/b\r\nX-L\xeft: \xff\r\n\r\n\x80\xff\r\n'),
  breaks('a folded field', 'Content-Type: a/b\r\n folded\r\n\r\nx'),
  breaks('a line that is no field', 'warning\r\nContent-Type: a/b\r\n\r\nx'),
  breaks('a Status that is none', 'Status: fine\r\nContent-Type: a/b\r\n\r\nx'),
  breaks('two statuses', 'Status: 200 OK\r\nStatus: 500 Oh\r\n\r\nx'),
  breaks('two lengths', 'Content-Length: 1\r\nContent-Length: 2\r\n\r\nxy'),
  says('a body longer than Content-Length', `Content-Length: 2\r\n${OK}more`, differ.tooMuch('re')),
  says('a body shorter than Content-Length', `Content-Length: 9\r\n${OK}less`, differ.exitStatus(128 + 15)),
  {
    ...says('a body in answer to HEAD', `Content-Length: 4\r\n${OK}body`, differ.bodyOfHead('body')),
    params: [
      ['REQUEST_METHOD', 'HEAD'],
      ['QUERY_STRING', `Content-Length: 4\r\n${OK}body`],
    ],
  },
  says('a document larger than a record', `${OK}${'0123456789'.repeat(7_000)}`),
  says('a header and no body', OK),
  says('no octet', '', differ.otherErrorPage),
  says('no header', 'just text', differ.cutHeader('just text')),
  says('a header without an end', 'Content-Type: a/b\r\n', differ.cutHeader('Content-Type: a/b\r\n')),
  says('a header without a field', '\r\nbody', differ.noField),
  runs('a script that thinks it is NPH', 'nph.sh', differ.nph),
  runs('an interim response', '1xx-first.sh', differ.interim),

  exits(3, `${OK}x`, differ.exitStatus(3)),
  exits(255, `${OK}x`, differ.exitStatus(255)),
  exits(3, '', differ.otherErrorPage, differ.exitStatus(3)),
  runs('a script that dies in its body', 'dies-in-body.sh', differ.crlf, differ.exitStatus(128 + 9)),
  runs(
    'a script that complains and ends without a header',
    'ends-without-header.sh',
    differ.cutHeader('Content-Type: text/plain\r\n'),
    differ.stderrCrlf,
    differ.exitStatus(3),
  ),
  {
    title: 'complaints after the header',
    script: 'writes-query-to-stderr.sh',
    params: [['QUERY_STRING', 'one\ntwo\r\n\xff']],
    differences: [],
  },

  echoes(undefined, 'no length'),
  echoes('', 'empty length'),
  echoes('5', 'h\0\xffl\n'),
  echoes('3', 'more than said'),
  echoes('0', ''),
  echoes(undefined, ''),
  echoes('300000', 'x'.repeat(300_000), differ.deadlock),
  runs('a script that reads nothing where nothing comes', 'answers-without-reading.sh', differ.crlf),
  {
    title: 'a script that reads nothing of a large body',
    script: 'answers-without-reading.sh',
    body: 'x'.repeat(300_000),
    differences: [differ.unreadBody],
  },

  ...['opens-by-name.sh', 'opens-by-name.py', 'opens-by-name.pl', 'opens-by-name'].map((script) => ({
    title: `/dev/stdin, /dev/stdout and /dev/stderr, opened by ${script}`,
    script,
    params: [['CONTENT_LENGTH', '8']] as const,
    body: 'the body',
    differences: [],
  })),

  environment('no more than SCRIPT_FILENAME', []),
  environment('empty values', [
    ['GIT_HTTP_EXPORT_ALL', ''],
    ['QUERY_STRING', ''],
    ['PATH_INFO', ''],
  ]),
  environment('values that are not UTF-8, and names that no shell knows', [
    ['PATH_INFO', '/\xff\xef'],
    ['HTTP_X.Y-Z', 'value'],
    ['L\xef', '\xef'],
  ]),
  environment(
    'a param that is sent twice',
    [
      ['A', 'first'],
      ['A', 'second'],
    ],
    differ.repeated('A=first'),
  ),
  environment(
    'params that steer the loader or an interpreter',
    [
      ['HTTP_PROXY', 'http://x/'],
      ['PERL5LIB', '/x'],
    ],
    differ.steering('HTTP_PROXY=http://x/', 'PERL5LIB=/x'),
  ),
  walks('DOCUMENT_ROOT and SCRIPT_NAME', '/ROOT', '/prints-environment.sh', []),
  walks('a SCRIPT_NAME that goes on behind the script', '/ROOT', '/prints-environment.sh/a//b', [
    differ.found('/ROOT/prints-environment.sh'),
  ]),
  names(
    'a SCRIPT_NAME that leads nowhere',
    [
      ['DOCUMENT_ROOT', '/ROOT'],
      ['SCRIPT_NAME', '/sub/absent'],
    ],
    differ.absent(),
  ),
  names(
    'no script’s name',
    [],
    differ.absent('The web server sent neither SCRIPT_FILENAME nor DOCUMENT_ROOT and SCRIPT_NAME.'),
  ),
  runs('a script that is absent', 'absent.sh', differ.absent()),
  runs('a SCRIPT_FILENAME that goes on behind the script', 'nph.sh/a', differ.absent()),
  runs('a script that is not executable', 'plain.sh', differ.forbidden('The script is not executable.')),
  runs('a directory', 'sub', differ.forbidden('The script is not a regular file.')),
  runs('a script outside of --root', '../outside.sh', differ.outside),
  runs('a missing interpreter', 'missing-interpreter.sh', differ.notStarted('missing-interpreter.sh')),
  runs(
    'no interpreter line',
    'without-interpreter-line.sh',
    differ.noInterpreter('without-interpreter-line.sh'),
  ),
];
