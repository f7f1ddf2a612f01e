/** What a site says is to be run, and its environment; and what it says when nothing is (RFC 3875 §3, §4, §6). */

import type { ByteString } from '../base/bytes.js';

/** The environment of a script: RFC 3875 §4.1 meta-variables and what the administrator adds, byte by byte. */
export type MetaVariables = ReadonlyMap<ByteString, ByteString>;

/** One run of a CGI script. */
export interface Invocation {
  /** The program, as an absolute path. */
  readonly file: ByteString;
  readonly args: readonly ByteString[];
  /** What administrators know it by, where the program is but the interpreter of one of its arguments. */
  readonly script?: ByteString;
  /** The working directory, as an absolute path (RFC 3875 §7.2). */
  readonly directory: ByteString;
  readonly variables: MetaVariables;
  /** Standard input that the site gives in place of the request's body, which is then thrown away. */
  readonly input?: Buffer;
  /**
   * How the script wants the request's body: as it comes, which is the default, or with its length in CONTENT_LENGTH
   * (RFC 3875 §4.1.2), so that a body of unknown length has to be counted first.
   */
  readonly body?: 'as-it-comes' | 'with-length';
  /**
   * How it is to end ahead of its time: by SIGTERM, which is the default, or, since those that it has started clean up
   * only then, at the end of their input, which they come to when it is killed.
   */
  readonly terminatedBy?: 'signal' | 'end-of-input';
  /** What explains to the administrator why the script refuses the request (401, 403), should it do so. */
  readonly doubt?: string | undefined;
}

/** An answer that the bridge gives by itself, since there is nothing to run. */
export interface Refusal {
  readonly status: number;
  /** What is wrong, with what, for the person at the browser: no path of this machine that the URL does not show. */
  readonly reason: string;
  /** Where the list of what there is can be found, as the path of a URI. */
  readonly index?: string;
  /** The methods that would not be refused, for a 405 (RFC 9110 §15.5.6). */
  readonly allow?: string;
  /** For a program that shows people text, or the status's phrase, and no pages. */
  readonly isForProgram?: boolean;
  /** What the administrator wants to know in addition; goes to the log only. */
  readonly detail?: string;
}

/** Whether the invocation's body has to be counted before it can run. */
export function lacksLength(invocation: Invocation): boolean {
  // Web servers send it empty where they don't know it, as nginx does with `fastcgi_request_buffering off`.
  return invocation.body === 'with-length' && (invocation.variables.get('CONTENT_LENGTH') ?? '') === '';
}

/** The invocation for a body that was counted. */
export function withLength(invocation: Invocation, bytes: number): Invocation {
  const length = ['CONTENT_LENGTH', String(bytes)] as const;
  return { ...invocation, variables: new Map([...invocation.variables, length]) };
}

type Pairs = Iterable<readonly [name: ByteString, value: ByteString]>;

/** Names that an environment can't hold. */
const illegal = /^$|[=\0]/;

/**
 * Names that an environment can't hold, and those that no web server sets for a script's good, but that decide what code
 * runs in it: they steer the dynamic loader, a shell or an interpreter, or (HTTP_PROXY, "httpoxy") come from a header that a
 * browser's user chooses.
 */
const dropped = new RegExp(
  [
    illegal,
    /^HTTP_PROXY$/,
    /^(LD|DYLD)_/,
    /^(GCONV_PATH|GLIBC_TUNABLES|LOCPATH|MALLOC_CHECK_)$/,
    /^(BASH_ENV|BASHOPTS|SHELLOPTS|ENV|IFS|PS4|CDPATH|GLOBIGNORE)$/,
    /^BASH_FUNC_/,
    /^(PERL5OPT|PERL5LIB|PERLLIB|PERL5DB|PERLIO)$/,
    /^PYTHON/,
    /^(RUBYOPT|RUBYLIB|NODE_OPTIONS|NODE_PATH|JAVA_TOOL_OPTIONS|_JAVA_OPTIONS|LUA_INIT|TCLLIBPATH)$/,
  ]
    .map(({ source }) => source)
    .join('|'),
);

/**
 * Whether a param of this name may become a variable. The sites of repositories leave out further ones, that mean something
 * to Mercurial or git (`RepositorySite`); the administrator's own `--env` may be named anything legal.
 */
export function mayBecomeVariable(name: ByteString): boolean {
  return !dropped.test(name);
}

/** Whether an environment can hold this name at all. */
export function isLegalName(name: ByteString): boolean {
  return !illegal.test(name);
}

/**
 * The environment of a script, each layer winning over the one before: `base` (what the daemon passes on), the params
 * that may become variables, what the `site` sets, and what the administrator said with `--env`.
 */
export function metaVariables(layers: {
  readonly base: Pairs;
  readonly params: Pairs;
  readonly site?: Pairs;
  readonly administrator: Pairs;
}): MetaVariables {
  const variables = new Map<ByteString, ByteString>(layers.base);
  variables.set('GATEWAY_INTERFACE', 'CGI/1.1');
  for (const [name, value] of layers.params) {
    // RFC 3875 §4.1.2 knows digits alone: Caddy sends -1 for a body that comes in chunks.
    const isNoLength = name === 'CONTENT_LENGTH' && /\D/.test(value);
    if (!dropped.test(name) && !isNoLength) variables.set(name, value);
  }
  for (const [name, value] of layers.site ?? []) variables.set(name, value);
  for (const [name, value] of layers.administrator) variables.set(name, value);
  return variables;
}
