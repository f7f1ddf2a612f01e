/** What a soak has found, as a table for people. */

interface Look {
  readonly descriptors: number;
  readonly residentMiB: number;
}

export interface Result {
  readonly seed: number;
  readonly seconds: number;
  readonly daemons: readonly {
    readonly name: string;
    readonly first: Look;
    readonly last: Look;
    readonly lines: number;
  }[];
  readonly tallies: ReadonlyMap<
    string,
    {
      readonly loads: number;
      readonly requests: number;
      readonly killed: number;
      readonly unexpected: number;
    }
  >;
  /** What was wrong, one line each. */
  readonly unexpected: readonly string[];
}

const SHOWN = 20;

export function summary({ seed, seconds, daemons, tallies, unexpected }: Result): string {
  const rows = [...tallies].map(([kind, { loads, requests, killed, unexpected: wrong }]) => [
    kind,
    ...[loads, requests, killed, wrong].map(String),
  ]);
  const sum = [1, 2, 3, 4].map((column) =>
    String(rows.reduce((total, row) => total + Number(row[column]), 0)),
  );
  const looks = daemons.map(({ name, first, last, lines }) => [
    `the ${name} daemon`,
    `${String(first.descriptors)} → ${String(last.descriptors)}`,
    `${first.residentMiB.toFixed()} → ${last.residentMiB.toFixed()} MiB`,
    String(lines),
  ]);
  const more = unexpected.length > SHOWN ? [`and ${String(unexpected.length - SHOWN)} more`] : [];
  return [
    '',
    table([['kind of load', 'loads', 'requests', 'killed', 'unexpected'], ...rows, ['all', ...sum]]),
    '',
    table([['', 'descriptors', 'memory', 'lines in the access log'], ...looks]),
    '',
    ...unexpected.slice(0, SHOWN).map((line) => `UNEXPECTED ${line}`),
    ...more,
    `seed ${String(seed)}: ${sum[1] ?? ''} tagged requests in ${seconds.toFixed(1)} s, ${String(unexpected.length)} unexpected`,
  ].join('\n');
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
