/** `fcgi2cgi explain`: what a site would run for a request and why, and where each variable comes from; it runs nothing. */

import { type ByteString, type NameValues, toText, valueOf } from '../../base/bytes.js';
import { statusText } from '../../cgi/document.js';
import { type Invocation, isLegalName, mayBecomeVariable } from '../../cgi/invocation.js';
import { makeSite } from '../../daemon/make-site.js';
import { BridgeError } from '../../base/errors.js';
import { visible, word } from '../../observe/escape.js';
import { whyNotStarted } from '../../process/limits.js';
import { saysWho } from '../../sites/request-path.js';
import { type Resolution, resolveRequest } from '../../sites/site.js';
import type { Run } from '../commands.js';
import { ExitStatus, exitStatusOfHttp } from '../exit.js';
import { requestParams } from '../get/request-params.js';
import { namedSite } from '../configuration.js';
import { explainOptions } from '../options/command-options.js';
import { readOptions } from '../options/option.js';
import { lookAs } from '../serve/serve.js';

/**
 * Prints the explanation for the last of `words`. Resolves to the exit status: 0 if something would run, 4 if it
 * can't be started, else 3 or 4 by the HTTP status.
 *
 * @throws BridgeError `ERR_USAGE`, and what the site could not start for
 */
export const runExplain: Run = async (given, words) => {
  const target = words.at(-1);
  if (target === undefined) {
    const example = "fcgi2cgi explain hg --repos /srv/hg -- '/project.hg/?x=y'";
    throw new BridgeError('ERR_USAGE', `the path to explain is missing; it comes last, after --: ${example}`);
  }
  const { json, ...options } = readOptions(explainOptions, given);
  const { served, configuration } = namedSite(options, given, words.slice(0, -1));
  await lookAs(configuration);
  const params = await requestParams({ ...options, target, body: undefined });
  const site = await makeSite(served);
  const resolution = await resolveRequest(site, params);
  const fault = resolution.kind === 'run' ? await whyNotStarted(resolution.invocation) : undefined;
  const explanation = explain(resolution, params, { env: served.env, fault });
  const text = json ? JSON.stringify(explanation, undefined, 2) : formatExplanation(explanation);
  process.stdout.write(`${text}\n`);
  if (explanation.kind !== 'runs') return exitStatusOfHttp(explanation.status);
  return fault === undefined ? ExitStatus.DONE : ExitStatus.REQUEST_FAILED;
};

/** Who has set a variable: the daemon for all programs, the web server, the site, or the administrator by `env`. */
export type Origin = 'daemon' | 'param' | 'site' | 'env';

/** Texts for people and machines; bytes that are no UTF-8 show as U+FFFD. */
type Explanation = ReturnType<typeof explain>;

/** Explains what `params` were resolved to; `env` is what the administrator has set, `fault` what keeps that from running. */
export function explain(
  resolution: Resolution,
  params: NameValues,
  { env, fault }: { env: ReadonlyMap<ByteString, ByteString>; fault?: string | undefined },
) {
  if (resolution.kind === 'refuse') {
    const { status, reason, detail } = resolution.refusal;
    return { kind: 'refuses' as const, status, reason, detail };
  }
  if (resolution.kind === 'answer') {
    const { status, fields, body } = resolution.answer;
    return {
      // The site has the answer itself, and no program runs.
      kind: 'answers' as const,
      status,
      fields: fields.map(([name, value]) => ({ name, value })),
      bytes: body.length,
    };
  }
  const { invocation } = resolution;
  const { variables } = invocation;
  const sorted = [...variables].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    kind: 'runs' as const,
    program: toText(invocation.file),
    arguments: invocation.args.map(toText),
    directory: toText(invocation.directory),
    input: inputOf(invocation),
    fault,
    // Why the program may refuse the request.
    doubt: invocation.doubt,
    variables: sorted.map(([name, value]) => ({
      name: toText(name),
      value: toText(value),
      from: originOf(name, value, params, env),
    })),
    dropped: params.flatMap(([name, value]) => {
      const why = whyDropped(name, value, variables, env);
      return why === undefined ? [] : [{ name: toText(name), value: toText(value), why }];
    }),
  };
}

function inputOf({ input, body }: Invocation): string {
  if (input !== undefined)
    return `${String(input.length)} bytes from the site; the request's body is thrown away`;
  return body === 'with-length'
    ? "the request's body, counted first where its length is not known"
    : "the request's body";
}

function originOf(
  name: ByteString,
  value: ByteString,
  params: NameValues,
  env: ReadonlyMap<ByteString, ByteString>,
): Origin {
  if (env.has(name)) return 'env';
  const sent = mayBecomeVariable(name) ? valueOf(params, name) : undefined;
  if (sent === value) return 'param';
  return sent === undefined && isOfDaemon(name) ? 'daemon' : 'site';
}

function isOfDaemon(name: ByteString): boolean {
  return name === 'GATEWAY_INTERFACE' || name === 'PATH' || process.env[toText(name)] !== undefined;
}

function whyDropped(
  name: ByteString,
  value: ByteString,
  variables: ReadonlyMap<ByteString, ByteString>,
  env: ReadonlyMap<ByteString, ByteString>,
): string | undefined {
  const now = variables.get(name);
  if (now === value) return undefined;
  if (env.has(name)) return '--env sets it';
  if (!isLegalName(name)) return 'no variable can have this name';
  if (!mayBecomeVariable(name)) return 'it would decide what code runs in the program';
  if (now !== undefined) return 'the site sets it itself';
  return saysWho(name)
    ? 'it says who somebody is, which counts only with --trust-remote-user'
    : 'the site does not pass it on';
}

/** Lines of text, with nothing in them that a terminal could take for more than text. */
export function formatExplanation(explanation: Explanation): string {
  return linesOf(explanation).map(visible).join('\n');
}

function linesOf(explanation: Explanation): readonly string[] {
  if (explanation.kind === 'refuses') {
    const { status, reason, detail } = explanation;
    return [
      `refuses     ${statusText(status)}: ${reason}`,
      ...(detail === undefined ? [] : [`because     ${detail}`]),
    ];
  }
  if (explanation.kind === 'answers') {
    const { status, fields, bytes } = explanation;
    return [
      `answers     ${statusText(status)}, with ${String(bytes)} bytes of its own`,
      ...fields.map(({ name, value }) => `field       ${name}: ${value}`),
    ];
  }
  const { program, directory, input, fault, doubt, variables, dropped } = explanation;
  return [
    `runs        ${program}`,
    ...explanation.arguments.map((argument) => `argument    ${argument}`),
    `directory   ${directory}`,
    `input       ${input}`,
    ...(fault === undefined ? [] : [`but         ${fault}`]),
    ...(doubt === undefined ? [] : [`if refused  ${doubt}`]),
    ...variables.map(({ name, value, from }) => `${from.padEnd(11)} ${word(name)}=${shown(value)}`),
    ...dropped.map(({ name, value, why }) => `dropped     ${word(name)}=${shown(value)}: ${why}`),
  ];
}

/** A value, in the quotes of JSON if somebody could not see where it ends. */
function shown(value: string): string {
  return word(value) === value ? value : JSON.stringify(value);
}
