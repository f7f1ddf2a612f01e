/** `fcgi2cgi explain`: asks a site what it would run for a request, and runs nothing. */

import { makeSite } from '../../daemon/make-site.js';
import { BridgeError } from '../../errors.js';
import { resolveRequest } from '../../sites/site.js';
import { describedSite } from '../described-site.js';
import { ExitStatus, exitStatusOfHttp } from '../exit-status.js';
import { requestParams } from '../get/request-params.js';
import { OptionReader } from '../option-reader.js';
import type { CommonArguments } from '../options/common.js';
import { explain } from './explanation.js';
import { formatExplanation } from './format.js';

/**
 * Prints the explanation for the last of `rest`. Resolves to the exit status: 0 if something would run, else 3 or 4
 * by the HTTP status.
 *
 * @throws BridgeError `ERR_USAGE`, and what the site could not start for
 */
export async function runExplain(
  given: CommonArguments,
  rest: readonly string[],
  agent: string,
): Promise<number> {
  const target = rest.at(-1);
  if (target === undefined) {
    const example = "fcgi2cgi explain hg --repos /srv/hg -- '/project.hg/?x=y'";
    throw new BridgeError('ERR_USAGE', `the path to explain is missing; it comes last, after --: ${example}`);
  }
  const reader = new OptionReader(given);
  const { served } = describedSite(given, rest.slice(0, -1));
  const params = requestParams({
    target,
    method: reader.text('method'),
    headers: reader.texts('header'),
    params: reader.texts('param'),
    body: undefined,
    agent,
  });
  const site = await makeSite(served);
  const explanation = explain(await resolveRequest(site, params), params, served.env);
  const text = reader.flag('json')
    ? JSON.stringify(explanation, undefined, 2)
    : formatExplanation(explanation);
  process.stdout.write(`${text}\n`);
  return explanation.kind === 'runs' ? ExitStatus.DONE : exitStatusOfHttp(explanation.status);
}
