/** Reads what the fixtures prints-invocation.pl and .py print, octet by octet. */

export interface SeenInvocation {
  readonly directory: string;
  readonly args: readonly string[];
  readonly variables: Readonly<Record<string, string>>;
}

/** `answer` may have the CGI header before it. */
export function parseInvocation(answer: string): SeenInvocation {
  const lines = answer.split('\n').map((line) => {
    const [what = '', hex = ''] = line.split(' ');
    return { what, octets: Buffer.from(hex, 'hex').toString('latin1') };
  });
  const of = (what: string): string[] => lines.flatMap((line) => (line.what === what ? [line.octets] : []));
  const pairs = of('variable').map((pair): [string, string] => {
    const equals = pair.indexOf('=', 1);
    return [pair.slice(0, equals), pair.slice(equals + 1)];
  });
  return { directory: of('directory')[0] ?? '', args: of('argument'), variables: Object.fromEntries(pairs) };
}
