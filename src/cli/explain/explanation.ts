/** What a site would run for a request and why: what it resolves to, and where each variable comes from. */

import { type ByteString, type NameValues, toText, valueOf } from '../../bytes.js';
import type { Invocation } from '../../cgi/invocation.js';
import { isLegalName, mayBecomeVariable } from '../../cgi/meta-variables.js';
import type { Resolution } from '../../sites/site.js';

/** Texts for people and machines; octets that are no UTF-8 show as U+FFFD. */
export type Explanation =
  | {
      readonly kind: 'refuses';
      readonly status: number;
      readonly reason: string;
      readonly detail: string | undefined;
    }
  /** The site has the answer itself, and no program runs. */
  | {
      readonly kind: 'answers';
      readonly status: number;
      readonly fields: readonly { readonly name: string; readonly value: string }[];
      readonly bytes: number;
    }
  | {
      readonly kind: 'runs';
      readonly program: string;
      readonly arguments: readonly string[];
      readonly directory: string;
      /** What becomes standard input. */
      readonly input: string;
      readonly variables: readonly { readonly name: string; readonly value: string; readonly from: Origin }[];
      readonly dropped: readonly { readonly name: string; readonly value: string; readonly why: string }[];
    };

/** Who has set a variable: the daemon for all programs, the web server, the site, or the administrator by `env`. */
export type Origin = 'daemon' | 'param' | 'site' | 'env';

/** Explains what `params` were resolved to; `env` is what the administrator has set. */
export function explain(
  resolution: Resolution,
  params: NameValues,
  env: ReadonlyMap<ByteString, ByteString>,
): Explanation {
  if (resolution.kind === 'refuse') {
    const { status, reason, detail } = resolution.refusal;
    return { kind: 'refuses', status, reason, detail };
  }
  if (resolution.kind === 'answer') {
    const { status, fields, body } = resolution.answer;
    return {
      kind: 'answers',
      status,
      fields: fields.map(([name, value]) => ({ name, value })),
      bytes: body.length,
    };
  }
  const { invocation } = resolution;
  const { variables } = invocation;
  const sorted = [...variables].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    kind: 'runs',
    program: toText(invocation.file),
    arguments: invocation.args.map(toText),
    directory: toText(invocation.directory),
    input: inputOf(invocation),
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
    return `${String(input.length)} octets from the site; the request's body is thrown away`;
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
  return now === undefined ? 'the site does not pass it on' : 'the site sets it itself';
}
