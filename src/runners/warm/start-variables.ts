/** The variables that a C library, the loader and an interpreter read before a script's first line, or unseen by it. */

import type { Variables } from './messages.js';

const names =
  /^(PATH|HOME|USER|LOGNAME|SHELL|TZ|TZDIR|TMPDIR|TEMP|TMP|LANG|LANGUAGE|LC_.*|LOCPATH|NLSPATH|GCONV_PATH|LD_.*|DYLD_.*|GLIBC_TUNABLES|MALLOC_.*|PYTHON.*|PERL.*|PYENV_.*|PLENV_.*|VIRTUAL_ENV|OPENSSL_.*|SSL_CERT_.*)$/;

/**
 * Those of a request's. A fork server is started with them and serves requests that have the same; it gets no others, as
 * those of its first request would be in its processes' /proc/self/environ for ever.
 */
export function startVariables(variables: Variables): Variables {
  return new Map([...variables].filter(([name]) => names.test(name)));
}
