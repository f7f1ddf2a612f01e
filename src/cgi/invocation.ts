/** What a site says is to be run, and what it says when nothing is (RFC 3875 §3, §4, §6). */

import type { ByteString } from '../bytes.js';

/** The environment of a script: RFC 3875 §4.1 meta-variables and what the administrator adds, octet by octet. */
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
  readonly endedBy?: 'signal' | 'end-of-input';
}

/** An answer that the bridge gives by itself, since there is nothing to run. */
export interface Refusal {
  /** The HTTP status code. */
  readonly status: number;
  /** What is wrong, with what, for the person at the browser: no path of this machine that the URL does not show. */
  readonly reason: string;
  /** The methods that would not be refused, for a 405 (RFC 9110 §15.5.6). */
  readonly allow?: string;
  /** What the administrator wants to know besides; goes to the log only. */
  readonly detail?: string;
}
