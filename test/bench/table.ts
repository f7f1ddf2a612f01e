/** Tables of text for a terminal. */

/** Columns that have text, in all rows, are aligned to the left; numbers to the right. */
export function alignTable(table: readonly (readonly string[])[], textColumns: readonly number[]): string[] {
  const widths = (table[0] ?? []).map((_, column) =>
    Math.max(...table.map((row) => row[column]?.length ?? 0)),
  );
  return table.map((row) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return textColumns.includes(column) ? cell.padEnd(width) : cell.padStart(width);
      })
      .join('  ')
      .trimEnd(),
  );
}
