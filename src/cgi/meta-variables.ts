/** Makes a script's meta-variables from what the web server sent (RFC 3875 §4.1). */

import type { ByteString } from '../bytes.js';
import type { MetaVariables } from './invocation.js';

type Pairs = Iterable<readonly [name: ByteString, value: ByteString]>;

/**
 * Names that no web server sets for a script's good, but that decide what code runs in it: they steer the dynamic
 * loader, a shell or an interpreter, or (HTTP_PROXY, "httpoxy") come from a header that a browser's user chooses.
 */
const steering = [
  /^HTTP_PROXY$/,
  /^(LD|DYLD)_/,
  /^(GCONV_PATH|GLIBC_TUNABLES|LOCPATH|MALLOC_CHECK_)$/,
  /^(BASH_ENV|BASHOPTS|SHELLOPTS|ENV|IFS|PS4|CDPATH|GLOBIGNORE)$/,
  /^BASH_FUNC_/,
  /^(PERL5OPT|PERL5LIB|PERLLIB|PERL5DB|PERLIO)$/,
  /^PYTHON/,
  /^(RUBYOPT|RUBYLIB|NODE_OPTIONS|NODE_PATH|JAVA_TOOL_OPTIONS|_JAVA_OPTIONS|LUA_INIT|TCLLIBPATH)$/,
];

/** Whether a param of this name may become a variable; the administrator's own `--env` may be named anything legal. */
export function mayBecomeVariable(name: ByteString): boolean {
  return isLegalName(name) && !steering.some((pattern) => pattern.test(name));
}

/** Whether an environment can hold this name at all. */
export function isLegalName(name: ByteString): boolean {
  return name !== '' && !/[=\0]/.test(name);
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
    if (mayBecomeVariable(name)) variables.set(name, value);
  }
  for (const [name, value] of layers.site ?? []) variables.set(name, value);
  for (const [name, value] of layers.administrator) variables.set(name, value);
  return variables;
}
