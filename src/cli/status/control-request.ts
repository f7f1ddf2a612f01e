/** Asks a daemon's control socket what it is doing, or to end a request, and prints what it says. */

import { OptionError } from '../../base/errors.js';
import { Requester } from '../../fastcgi/requester.js';
import type { Sink } from '../get/response-reader.js';
import { connectTo, exchange } from '../get/exchange.js';
import { requestParams } from '../get/request-params.js';
import { complaintOf, exitStatusOf, type Verdict } from '../get/verdict.js';
import type { Run } from '../commands.js';
import { statusOptions } from '../options/command-options.js';
import { readOptions, type Values } from '../options/option.js';

/** Runs the command. @throws BridgeError `ERR_USAGE` */
export const runStatus: Run = async (given) => {
  const options = readOptions(statusOptions, given);
  const request = requestOf(options);
  const socket = await connectTo(options.address, options.timeoutMs);
  if ('kind' in socket) return complain(socket);
  const requester = new Requester(socket);
  const body: Buffer[] = [];
  const { verdict } = await exchange(requester, {
    params: await requestParams({ ...request, headers: [], params: [], body: undefined }),
    body: undefined,
    keepConn: false,
    sink: into(body),
  });
  requester.close();
  const said = Buffer.concat(body);
  if (verdict.kind === 'answered' && verdict.status < 400) {
    process.stdout.write(said);
    return exitStatusOf(verdict);
  }
  return complain(verdict, said.toString().trim());
};

function requestOf({ json, prometheus, cancel }: Values<typeof statusOptions>): {
  readonly method: string;
  readonly target: string;
} {
  if (cancel !== undefined) {
    if (json || prometheus) throw exclusive('cancel', 'its response is one line');
    return { method: 'POST', target: `/cancel?id=${encodeURIComponent(cancel)}` };
  }
  if (json && prometheus) throw exclusive('json', 'it is one form or the other');
  const format = prometheus ? 'prometheus' : json ? 'json' : 'text';
  return { method: 'GET', target: `/?format=${format}` };
}

function exclusive(option: string, why: string): OptionError {
  return new OptionError('ERR_USAGE', {
    option,
    why: `can't be asked for with --json or --prometheus: ${why}`,
  });
}

/** `said` is the answer's own word. */
function complain(verdict: Verdict, said = ''): number {
  process.stderr.write(`fcgi2cgi: ${said || (complaintOf(verdict) ?? '')}\n`);
  return exitStatusOf(verdict);
}

function into(body: Buffer[]): Sink {
  const taken = Promise.resolve(true);
  return {
    header: () => taken,
    body: (bytes) => {
      body.push(bytes);
      return taken;
    },
    stderr: (bytes) => void process.stderr.write(bytes),
  };
}
