/** In what the answers of fcgi2cgi and of fcgiwrap differ, why, and which of both is right by which standard. */

import assert from 'node:assert/strict';

import type { Answer } from '../helpers/ask.js';

export interface Difference {
  readonly why: string;
  readonly right: 'fcgi2cgi' | 'fcgiwrap' | 'both';
  /** The section that says so; empty where it is a matter of taste. */
  readonly by: string;
  /** What fcgiwrap answers where fcgi2cgi answers `ours`. */
  readonly theirs: (ours: Answer) => Answer;
}

/** Our part of an answer, and what fcgiwrap has in its place. */
function instead(ours: Partial<Answer>, theirs: Partial<Answer>): (answer: Answer) => Answer {
  return (answer) => {
    assert.deepEqual({ ...answer, ...ours }, answer, 'the answer of fcgi2cgi is not the one of the table');
    return { ...answer, ...theirs };
  };
}

/** What the page of the bridge's own looks like once `withoutRoot` has left out what differs from run to run. */
function page(status: string, reason: string): { stdout: string } {
  return { stdout: `Status: ${status}\r\nContent-Type: text/html; charset=utf-8\r\n<${reason}>` };
}

const notMade = page('502 Bad Gateway', 'The server could not make this page.');

export const crlf: Difference = {
  why: 'fcgiwrap ends each line of a header with CRLF, the bridge leaves it untouched',
  right: 'both',
  by: 'RFC 3875 §6.3: NL is LF or CRLF',
  theirs: (ours) => {
    const header = /^(?:[^\n]+\n)*?\r?\n/.exec(ours.stdout)?.[0] ?? '';
    return { ...ours, stdout: header.replaceAll(/\r?\n/g, '\r\n') + ours.stdout.slice(header.length) };
  },
};

/** A header that the bridge answers for; fcgiwrap sends it, its lines with CRLF. */
export const invalidHeader = (theirStdout: string): Difference => ({
  why: 'fcgiwrap passes on a header of which each web server makes another answer, or none',
  right: 'fcgi2cgi',
  by: 'RFC 3875 §6.3: one line a field, each CGI field once; §6.3.3: Status has three digits',
  theirs: instead({ ...notMade, appStatus: 128 + 15 }, { stdout: theirStdout, appStatus: 0 }),
});

export const redirect: Difference = {
  why: 'the bridge gives a redirect the status that nginx, lighttpd and HAProxy make of it, but not Apache, Caddy and h2o',
  right: 'fcgi2cgi',
  by: 'RFC 3875 §6.2.3: the server must generate a 302 response',
  theirs: (ours) => ({ ...ours, stdout: ours.stdout.replace(/^Status: 302 Found\r\n/, '') }),
};

/** `body` is what the script adds to its header. */
export const bodyOfHead = (body: string): Difference => ({
  why: 'fcgiwrap passes on the body of an answer to HEAD, for which HAProxy answers 502',
  right: 'fcgi2cgi',
  by: 'RFC 3875 §4.3.2: the server must discard it',
  theirs: (ours) => ({ ...ours, stdout: ours.stdout + body }),
});

/** `rest` is what the script writes beyond the length that it has announced. */
export const tooMuch = (rest: string): Difference => ({
  why: 'fcgiwrap passes on more than Content-Length says: lighttpd, nginx and h2o cut it, HAProxy and Caddy fail',
  right: 'fcgi2cgi',
  by: 'RFC 9110 §8.6: the length of the content',
  theirs: (ours) => ({ ...ours, stdout: ours.stdout + rest }),
});

/** `status` is what the script ends with, or 128 and the signal's number. */
export const exitStatus = (status: number): Difference => ({
  why: 'fcgiwrap reports that all went well whatever the script’s exit status is',
  right: 'fcgi2cgi',
  by: 'FastCGI 1.0 §5.5: appStatus is what a CGI program would have returned by exit',
  theirs: instead({ appStatus: status }, { appStatus: 0 }),
});

/** A script that ends in its header; fcgiwrap sends what there is of it. */
export const cutHeader = (theirStdout: string): Difference => ({
  why: 'fcgiwrap passes on a header without an end as if it were an answer',
  right: 'fcgi2cgi',
  by: 'RFC 3875 §6.2: a response has an empty line after its header',
  theirs: instead(notMade, { stdout: theirStdout }),
});

export const otherErrorPage: Difference = {
  why: 'both say 502 where the script says nothing, in other words',
  right: 'both',
  by: '',
  theirs: instead(notMade, {
    stdout:
      'Status: 502 Bad Gateway\nContent-type: text/plain\n\nAn error occurred while reading CGI reply (no response received)\n',
  }),
};

export const noField: Difference = {
  why: 'both refuse a header without any field; fcgiwrap reports that all went well',
  right: 'both',
  by: 'RFC 3875 §6.3: at least one CGI field must be supplied',
  theirs: instead(
    { ...notMade, appStatus: 128 + 15 },
    {
      stdout:
        'Status: 502 Bad Gateway\nContent-type: text/plain\n\nAn error occurred while parsing CGI reply\n',
      appStatus: 0,
    },
  ),
};

export const stderrCrlf: Difference = {
  why: 'fcgiwrap turns LF into CRLF in standard error, too, until a header ends',
  right: 'fcgi2cgi',
  by: 'FastCGI 1.0 §5.3: STDERR carries the application’s octets',
  theirs: (ours) => ({ ...ours, stderr: ours.stderr.replaceAll('\n', '\r\n') }),
};

export const nph: Difference = {
  why: 'fcgiwrap passes on a status line, which a web server that speaks FastCGI takes for a broken field',
  right: 'fcgi2cgi',
  by: 'RFC 3875 §5, §6.3.3: without NPH the status is a Status field',
  theirs: (ours) => ({ ...ours, stdout: ours.stdout.replace(/^Status: /, 'HTTP/1.0 ') }),
};

export const interim: Difference = {
  why: 'fcgiwrap passes on an interim response, which a web server takes for the whole header',
  right: 'fcgi2cgi',
  by: 'RFC 3875 §6.2: one response a request',
  theirs: (ours) => ({ ...ours, stdout: `HTTP/1.1 100 Continue\r\n\r\n${ours.stdout}` }),
};

const whyNotFound =
  'Cannot get script name, are DOCUMENT_ROOT and SCRIPT_NAME (or SCRIPT_FILENAME) set and is the script executable?\n';
const theirForbidden = 'Status: 403 Forbidden\r\nContent-Type: text/plain\r\n\r\n403 Forbidden\r\n';

/** A script that is not there: 404 here, 403 there. */
export const absent = (reason = 'There is no such script.'): Difference => ({
  why: 'fcgiwrap says 403 where no script is, and the reason to the web server’s log',
  right: 'fcgi2cgi',
  by: 'RFC 9110 §15.5.5: 404 where nothing is found',
  theirs: instead(page('404 Not Found', reason), { stdout: theirForbidden, stderr: whyNotFound }),
});

export const forbidden = (reason: string): Difference => ({
  why: 'both say 403, fcgiwrap the reason to the web server’s log only',
  right: 'both',
  by: '',
  theirs: instead(page('403 Forbidden', reason), { stdout: theirForbidden, stderr: whyNotFound }),
});

const cannotExecute = (name: string): Partial<Answer> => ({
  stdout: 'Status: 502 Bad Gateway\r\nContent-Type: text/plain\r\n\r\n502 Bad Gateway\r\n',
  stderr: `Cannot execute script (/ROOT/${name})\n`,
});

export const notStarted = (name: string): Difference => ({
  why: 'fcgiwrap says 502 where a program can’t be started, and that all went well',
  right: 'fcgi2cgi',
  by: 'RFC 9110 §15.6.3: 502 is an invalid response from another server',
  theirs: instead(
    { ...page('500 Internal Server Error', 'The server could not make this page.'), appStatus: 126 },
    { ...cannotExecute(name), appStatus: 0 },
  ),
});

export const noInterpreter = (name: string): Difference => ({
  why: 'the bridge has a shell run a script without an interpreter line, as execvp does',
  right: 'both',
  by: '',
  theirs: (ours) => ({ ...ours, ...cannotExecute(name) }),
});

export const outside: Difference = {
  why: 'fcgiwrap without -p runs any program of the machine that a param names',
  right: 'fcgi2cgi',
  by: 'RFC 3875 §9.1, §9.8',
  theirs: instead(page('403 Forbidden', 'The script is not one that may run here.'), {
    stdout: 'Content-Type: text/plain\r\n\r\noutside\n',
  }),
};

export const unreadBody: Difference = {
  why: 'fcgiwrap fails a request whose script does not read all of its body',
  right: 'fcgi2cgi',
  by: 'RFC 3875 §4.2: a script is not obliged to read any of it',
  theirs: (ours) => ({
    ...ours,
    stdout:
      'Status: 502 Bad Gateway\nContent-type: text/plain\n\nAn error occurred while reading the request\n',
  }),
};

export const deadlock: Difference = {
  why: 'fcgiwrap reads no answer before it has written the whole body: it and the script wait for each other for ever',
  right: 'fcgi2cgi',
  by: 'RFC 3875 §4.2, §6.1: nothing says that a script must read before it writes',
  theirs: () => nothingYet,
};

/** In place of an answer that does not come. */
export const nothingYet: Answer = { stdout: '(nothing yet)', stderr: '', appStatus: -1, protocolStatus: -1 };

const printedVariables = (change: (variables: readonly string[]) => readonly string[]) => {
  return (ours: Answer): Answer => {
    const [head = '', body = ''] = ours.stdout.split('\r\n\r\n');
    const [directory = '', ...variables] = body.split('\n').slice(0, -1);
    const lines = [...change(variables)].sort((a, b) => (a < b ? -1 : 1));
    return { ...ours, stdout: `${head}\r\n\r\n${[directory, ...lines, ''].join('\n')}` };
  };
};

export const gatewayInterface: Difference = {
  why: 'fcgiwrap leaves it to the web server to send GATEWAY_INTERFACE',
  right: 'fcgi2cgi',
  by: 'RFC 3875 §4.1.4: it must be set',
  theirs: printedVariables((all) => all.filter((line) => line !== 'GATEWAY_INTERFACE=CGI/1.1')),
};

export const ownEnvironment: Difference = {
  why: 'fcgiwrap gives scripts its own environment and FastCGI’s FCGI_ROLE; the bridge PATH and what --pass-env names',
  right: 'fcgi2cgi',
  by: 'RFC 3875 §9.5: what a script gets should not disclose more than it needs',
  theirs: printedVariables((all) => [...all, 'FCGI_ROLE=RESPONDER', 'OWN=of the daemon']),
};

export const steering = (...dropped: readonly string[]): Difference => ({
  why: 'fcgiwrap passes on params that decide what code runs in the script',
  right: 'fcgi2cgi',
  by: 'RFC 3875 §4.1.18: fields that bear on security may be left out (httpoxy, CVE-2016-5385)',
  theirs: printedVariables((all) => [...all, ...dropped]),
});

export const repeated = (first: string): Difference => ({
  why: 'fcgiwrap makes two variables of a param that is sent twice, of which programs see one or the other',
  right: 'fcgi2cgi',
  by: 'POSIX XBD §8.1: with two of a name the environment’s meaning is unspecified',
  theirs: printedVariables((all) => [...all, first]),
});

export const found = (file: string): Difference => ({
  why: 'where fcgiwrap finds the script in SCRIPT_NAME it leaves out SCRIPT_FILENAME, by which PHP and others find theirs',
  right: 'both',
  by: 'RFC 3875 §4.1 does not know it',
  theirs: printedVariables((all) => all.filter((line) => line !== `SCRIPT_FILENAME=${file}`)),
});
