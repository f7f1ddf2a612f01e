/** `fcgi2cgi verify`: answers requests by new processes and by warm ones, and says how the answers differ. */

import { constants } from 'node:os';

import { toText, valueOf } from '../../bytes.js';
import { mask } from '../../daemon/surroundings.js';
import { BridgeError, OptionError, systemCodeOf } from '../../errors.js';
import { type Data, openData } from '../data.js';
import { describedSite } from '../described-site.js';
import { ExitStatus } from '../exit-status.js';
import { requestParams } from '../get/request-params.js';
import { OptionReader } from '../option-reader.js';
import type { CommonArguments } from '../options/common.js';
import { formatCounts, formatVerified, none, verifiedJson } from './format.js';
import { readRequests, type WantedRequest } from './requests.js';
import { verifyAll } from './verify-all.js';

/**
 * Verifies the requests of `paths` and of `--requests`, and prints what was found. Resolves to the exit status:
 * whether all answers are the same, some differ, or something could not be compared.
 *
 * @throws BridgeError `ERR_USAGE`, and what the site could not start for
 */
export async function runVerify(
  given: CommonArguments,
  paths: readonly string[],
  agent: string,
): Promise<number> {
  const reader = new OptionReader(given);
  const { served, umask } = describedSite(given);
  mask(umask);
  if (served.site.kind === 'worker') {
    throw new BridgeError(
      'ERR_USAGE',
      'verify: the processes of a worker are neither spawned nor forked for a request',
    );
  }
  const data = readData(reader);
  const wanted = [...paths.map((target) => ({ target, method: undefined })), ...fromFile(reader)];
  if (wanted.length === 0) {
    const example = "fcgi2cgi verify hg --repos /srv/hg -- /project/ '/project/log?rev=tip'";
    throw new BridgeError(
      'ERR_USAGE',
      `verify: what to ask for is missing; it comes last, after --: ${example}`,
    );
  }
  const requests = wanted.map(({ target, method }) =>
    requestParams({
      target,
      method: method ?? reader.text('method'),
      headers: reader.texts('header'),
      params: reader.texts('param'),
      body: data,
      agent,
    }),
  );
  const print = reader.flag('json') ? verifiedJson : formatVerified;
  const counts = { ...none };
  process.stdout.on('error', () => undefined);
  const stoppedBy = await verifyAll({
    ...{ served, requests, data, repeat: reader.count('repeat', 1) },
    tell: (params, verdict) => {
      counts[verdict.kind]++;
      const textOf = (name: string): string => toText(valueOf(params, name) ?? '');
      return write(print({ method: textOf('REQUEST_METHOD'), target: textOf('REQUEST_URI'), verdict }));
    },
  });
  process.stderr.write(formatCounts(counts));
  if (stoppedBy !== undefined) return 128 + constants.signals[stoppedBy];
  if (counts.differs > 0) return ExitStatus.DIFFERENT;
  return counts['not-warm'] > 0 || counts.same === 0 ? ExitStatus.NOT_COMPARED : ExitStatus.DONE;
}

/** The body of every request, which is read anew for each run. @throws OptionError `ERR_USAGE`, `ERR_START` */
function readData(reader: OptionReader): Data | undefined {
  const path = reader.text('data');
  if (path === undefined) return undefined;
  const refusal = (why: string): OptionError =>
    new OptionError('ERR_USAGE', { option: 'data', value: path, why });
  if (reader.text('method') === undefined) {
    throw refusal(
      'makes it a POST, which would be run several times; say --method POST if that does no harm',
    );
  }
  const data = path === '-' ? undefined : openData(path);
  if (data?.length === undefined) throw refusal('is read for each run; expected a regular file');
  return data;
}

/** The requests of `--requests`; says what of it is left out. @throws OptionError `ERR_USAGE`, `ERR_START` */
function fromFile(reader: OptionReader): readonly WantedRequest[] {
  const path = reader.text('requests');
  if (path === undefined) return [];
  const { requests, leftOut } = readRequests(path, reader.text('site'));
  for (const [why, count] of leftOut) {
    process.stderr.write(`fcgi2cgi: --requests ${path}: left out ${String(count)} lines: ${why}\n`);
  }
  return requests;
}

/** Resolves when it was taken, to whether more is. */
function write(text: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => {
      if (!error) resolve(true);
      else if (systemCodeOf(error) === 'EPIPE') resolve(false);
      else reject(error);
    });
  });
}
