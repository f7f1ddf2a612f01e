/** What the command line of `fcgi2cgi get` says, made into requests; and where their answers go. */

import { type Address, parseAddress } from '../../daemon/address.js';
import { OptionError, systemCodeOf } from '../../errors.js';
import { type Data, lengthOf, openData } from '../data.js';
import type { OptionReader } from '../option-reader.js';
import type { Sink } from './answer.js';
import { get } from './get.js';
import { requestParams } from './request-params.js';

/** Runs the command; resolves to its exit status. @throws BridgeError `ERR_USAGE`, `ERR_START` */
export async function runGet(reader: OptionReader, agent: string): Promise<number> {
  const address = addressOf(reader.required('address'));
  const repeat = reader.count('repeat', 1);
  const body = readBody(reader.text('data'), repeat);
  const options = {
    address,
    params: requestParams({
      target: reader.required('path'),
      method: reader.text('method'),
      headers: reader.texts('header'),
      params: reader.texts('param'),
      body,
      agent,
    }),
    openBody: () => body?.open(),
    keep: reader.flag('keep'),
    repeat,
    timings: reader.flag('timings'),
    timeoutMs: reader.durationMs('timeout'),
  };
  const messages = new Messages();
  return get({
    ...options,
    sink: output(reader.flag('include'), messages),
    say: (text) => {
      messages.say(text);
    },
  });
}

function addressOf(given: string): Exclude<Address, { kind: 'fd' | 'systemd' }> {
  const address = parseAddress(given, process.cwd(), { option: 'address', shown: 'ADDRESS' });
  if (address.kind !== 'fd' && address.kind !== 'systemd') return address;
  const why =
    'nobody can be asked through a descriptor of ours; expected unix:/path, /path, HOST:PORT or [v6]:PORT';
  throw new OptionError('ERR_USAGE', { option: 'address', shown: 'ADDRESS', value: given, why });
}

function readBody(data: string | undefined, repeat: number): Data | undefined {
  if (data === undefined) return undefined;
  if (data !== '-') return openData(data);
  if (repeat === 1) return { length: lengthOf(0), open: () => process.stdin };
  const why = 'standard input can be read but once; expected a file, or no --repeat';
  throw new OptionError('ERR_USAGE', { option: 'data', value: data, why });
}

/** Standard error: what the application writes there, as it is, and our own lines, which begin as lines do. */
class Messages {
  #isInLine = false;

  pass(octets: Buffer): void {
    process.stderr.write(octets);
    this.#isInLine = octets.at(-1) !== LF;
  }

  say(text: string): void {
    process.stderr.write(this.#isInLine ? `\n${text}` : text);
    this.#isInLine = false;
  }
}

const LF = 0x0a;

/** Answers go to standard output, as fast as it takes them, and until its reader leaves. */
function output(withHeader: boolean, messages: Messages): Sink {
  process.stdout.on('error', () => undefined);
  const write = (octets: Buffer): Promise<boolean> =>
    new Promise((resolve, reject) => {
      process.stdout.write(octets, (error) => {
        if (!error) resolve(true);
        else if (systemCodeOf(error) === 'EPIPE') resolve(false);
        else reject(error);
      });
    });
  return {
    header: (octets) => (withHeader ? write(octets) : Promise.resolve(true)),
    body: write,
    stderr: (octets) => {
      messages.pass(octets);
    },
  };
}
