/** Asks a daemon's control socket what it is doing, or to end a request, and prints what it says. */

import { OptionError } from '../../base/errors.js';
import { formatAddress } from '../../daemon/listening/address.js';
import { Requester } from '../../fastcgi/requester.js';
import { ExitStatus } from '../exit.js';
import { CONTROL_FIELD } from '../../observe/status/status.js';
import { connectTo, exchange } from '../get/exchange.js';
import { requestParams } from '../get/request-params.js';
import { complaintOf, exitStatusOf, type Verdict } from '../get/verdict.js';
import type { Run } from '../commands.js';
import { statusOptions } from '../options/command-options.js';
import { readOptions, type Values } from '../options/option.js';

/** What a control socket is asked for. */
interface Asked {
  readonly method: string;
  readonly target: string;
}

/** Runs the command. @throws BridgeError `ERR_USAGE` */
export const runStatus: Run = async (given) => {
  const options = readOptions(statusOptions, given);
  const asked = requestOf(options);
  // A script must not be sent what only a control socket is to do.
  let told = asked.method === 'GET' ? undefined : await ask(options, STATUS);
  if (told === undefined || isDone(told.verdict)) told = await ask(options, asked);
  const { verdict, said } = told;
  if (isDone(verdict)) process.stdout.write(said);
  else process.stderr.write(`fcgi2cgi: ${said.toString().trim() || (complaintOf(verdict) ?? '')}\n`);
  return exitStatusOf(verdict);
};

const STATUS: Asked = { method: 'GET', target: '/?format=text' };

function isDone(verdict: Verdict): boolean {
  return exitStatusOf(verdict) === ExitStatus.DONE;
}

/** One request on a connection of its own; what another application than a control socket says is not passed on. */
async function ask(
  { address, timeoutMs }: Values<typeof statusOptions>,
  asked: Asked,
): Promise<{ readonly verdict: Verdict; readonly said: Buffer }> {
  const socket = await connectTo(address, timeoutMs);
  const nothing = Buffer.alloc(0);
  if ('kind' in socket) return { verdict: socket, said: nothing };
  const requester = new Requester(socket);
  const body: Buffer[] = [];
  let header = '';
  const taken = Promise.resolve(true);
  const { verdict } = await exchange(requester, {
    params: await requestParams({ ...asked, headers: [], params: [], body: undefined }),
    body: undefined,
    keepConn: false,
    sink: {
      header: (bytes) => {
        header = bytes.toString('latin1');
        return taken;
      },
      body: (bytes) => {
        body.push(bytes);
        return taken;
      },
      stderr: () => undefined,
    },
  });
  requester.close();
  if (header.split('\r\n').some((field) => field.startsWith(`${CONTROL_FIELD}:`))) {
    return { verdict, said: Buffer.concat(body) };
  }
  if (verdict.kind !== 'answered') return { verdict, said: nothing };
  const why = `${formatAddress(address)}: this is no control socket; name the one of --control`;
  return { verdict: { kind: 'protocol', why }, said: nothing };
}

function requestOf({ json, prometheus, cancel }: Values<typeof statusOptions>): Asked {
  if (cancel !== undefined) {
    if (json || prometheus) throw exclusive('cancel', '--json or --prometheus', 'its response is one line');
    return { method: 'POST', target: `/cancel?id=${encodeURIComponent(cancel)}` };
  }
  if (json && prometheus) throw exclusive('json', '--prometheus', 'it is one form or the other');
  const format = prometheus ? 'prometheus' : json ? 'json' : 'text';
  return { method: 'GET', target: `/?format=${format}` };
}

function exclusive(option: string, others: string, why: string): OptionError {
  return new OptionError('ERR_USAGE', {
    option,
    why: `can't be asked for with ${others}: ${why}`,
  });
}
