/** Errors of the C library's, in the form that Node gives its own. */

import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';

/** `code` is the number's name (`ENOENT`), for `systemCodeOf`. */
export function systemError(call: string, errorNumber: number): NodeJS.ErrnoException {
  // libuv, whose numbers are negative, has no words for those that it never meets, as ENOEXEC.
  const [code, meaning] = getSystemErrorMap().get(-errorNumber) ?? [nameOf(errorNumber), 'failed'];
  return Object.assign(new Error(`${call}: ${meaning} (${code})`), {
    code,
    errno: -errorNumber,
    syscall: call,
  });
}

function nameOf(errorNumber: number): string {
  const names = Object.entries(constants.errno);
  return names.find(([, number]) => number === errorNumber)?.[0] ?? `error ${String(errorNumber)}`;
}
