/** What became of a request that `fcgi2cgi get` has sent: whom to blame, and the exit status that says so. */

import { ProtocolStatus } from '../../fastcgi/constants.js';
import { ExitStatus, exitStatusOfHttp } from '../exit.js';

/** How it ended; `status` is the answer's HTTP status, as far as it came. */
export type Verdict =
  | { readonly kind: 'answered'; readonly status: number }
  | {
      readonly kind: 'unreachable' | 'protocol' | 'cut' | 'timeout';
      readonly why: string;
      readonly status?: number;
    };

/** The exit status: `DONE` for an answer below 400, and one for each way not to have one. */
export function exitStatusOf(verdict: Verdict): number {
  if (verdict.kind === 'answered') return exitStatusOfHttp(verdict.status);
  const { PROTOCOL: protocol, UNREACHABLE: unreachable, CUT: cut, TIMEOUT: timeout } = ExitStatus;
  return { protocol, unreachable, cut, timeout }[verdict.kind];
}

/** One line for people, or undefined where all is well. */
export function complaintOf(verdict: Verdict): string | undefined {
  if (verdict.kind !== 'answered') return verdict.why;
  return verdict.status < 400 ? undefined : `the application answered with status ${String(verdict.status)}`;
}

/** What an END_REQUEST says beside the answer (FastCGI 1.0 §5.5). */
export function endVerdict(
  { appStatus, protocolStatus }: { appStatus: number; protocolStatus: number },
  answer: {
    readonly status: number | undefined;
    readonly stdoutBytes: number;
    readonly missingBytes: number;
  },
): Verdict {
  const { status } = answer;
  const known = status === undefined ? {} : { status };
  if (protocolStatus !== ProtocolStatus.REQUEST_COMPLETE) {
    const unknown = ` with protocolStatus ${String(protocolStatus)}, which FastCGI 1.0 does not have`;
    const why = `the application refused the request${refusals.get(protocolStatus) ?? unknown}`;
    return { kind: 'protocol', why, ...known };
  }
  if (status === undefined) {
    const bytes = String(answer.stdoutBytes);
    const why = `the application's answer has no complete header (RFC 3875 §6): ${bytes} bytes, appStatus ${String(appStatus)}; --include shows them`;
    return { kind: 'protocol', why };
  }
  if (answer.missingBytes > 0) {
    const why = `the answer was cut short: it lacks ${String(answer.missingBytes)} bytes of its Content-Length`;
    return { kind: 'cut', why, status };
  }
  if (appStatus !== 0 && status < 400) {
    const why = `the application ended with appStatus ${String(appStatus)}: its answer may be cut short`;
    return { kind: 'cut', why, status };
  }
  return { kind: 'answered', status };
}

const refusals = new Map<number, string>([
  [ProtocolStatus.CANT_MPX_CONN, ': one at a time on a connection (FCGI_CANT_MPX_CONN)'],
  [ProtocolStatus.OVERLOADED, ': it has too many (FCGI_OVERLOADED)'],
  [ProtocolStatus.UNKNOWN_ROLE, ': it is no Responder (FCGI_UNKNOWN_ROLE)'],
]);
