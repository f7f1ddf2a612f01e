/** Asks a daemon's control socket what it is doing, or to end a request, and prints what it says. */

import { parseAddress } from '../../daemon/address.js';
import { OptionError } from '../../errors.js';
import { Requester } from '../../fastcgi/requester.js';
import type { Sink } from '../get/answer.js';
import { connectTo } from '../get/connecting.js';
import { exchange } from '../get/exchange.js';
import { requestParams } from '../get/request-params.js';
import { complaintOf, exitStatusOf, type Verdict } from '../get/verdict.js';
import type { OptionReader } from '../option-reader.js';

/** Runs the command; resolves to its exit status. @throws BridgeError `ERR_USAGE` */
export async function runStatus(reader: OptionReader, agent: string): Promise<number> {
  const given = reader.required('address');
  const address = parseAddress(given, process.cwd(), { option: 'address', shown: 'ADDRESS' });
  if (address.kind !== 'unix') {
    const why = 'a control socket is a Unix socket; expected unix:/path or /path';
    throw new OptionError('ERR_USAGE', { option: 'address', shown: 'ADDRESS', value: given, why });
  }
  const timeoutMs = reader.durationMs('timeout');
  const request = requestOf(reader);
  const socket = await connectTo(address, timeoutMs);
  if ('kind' in socket) return complain(socket);
  const requester = new Requester(socket);
  const body: Buffer[] = [];
  const { verdict } = await exchange(requester, {
    params: requestParams({ ...request, headers: [], params: [], body: undefined, agent }),
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
}

/** What is asked of the control socket. */
function requestOf(reader: OptionReader): { readonly method: string; readonly target: string } {
  const [isJson, isPrometheus, id] = [reader.flag('json'), reader.flag('prometheus'), reader.text('end')];
  if (id !== undefined) {
    if (isJson || isPrometheus) throw besides('end', 'its answer is but a line');
    return { method: 'POST', target: `/end?id=${encodeURIComponent(id)}` };
  }
  if (isJson && isPrometheus) throw besides('json', 'it is one form or the other');
  const format = isPrometheus ? 'prometheus' : isJson ? 'json' : 'text';
  return { method: 'GET', target: `/?format=${format}` };
}

function besides(option: string, why: string): OptionError {
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
    body: (octets) => {
      body.push(octets);
      return taken;
    },
    stderr: (octets) => void process.stderr.write(octets),
  };
}
