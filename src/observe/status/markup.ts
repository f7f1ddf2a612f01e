/** Pieces of the status page, from whose text nothing can be made that is not text. */

import escapeHtml from 'escape-html';

import { visible } from '../escape.js';

export function meter(value: number, max: number, more = ''): string {
  return `<meter value="${String(Math.min(value, max))}" max="${String(max || 1)}"${more}></meter>`;
}

/** One whose colour says that little is left, and that nothing is. */
export function gauge(value: number, max: number): string {
  return meter(value, max, ` low="${String(0.75 * max)}" high="${String(0.99 * max)}" optimum="0"`);
}

/** Cells are HTML. A head that begins with `#` is of numbers, one with `~` of long text. */
export function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const classes = heads.map((head) =>
    head.startsWith('#') ? ' class="n"' : head.startsWith('~') ? ' class="w"' : '',
  );
  const row = (tag: string, cells: readonly string[]): string =>
    `<tr>${cells.map((cell, at) => `<${tag}${classes[at] ?? ''}>${cell}</${tag}>`).join('')}</tr>`;
  const head = row(
    'th',
    heads.map((each) => each.replace(/^[#~]/, '')),
  );
  return `<div class="scroll" tabindex="0"><table><thead>${head}</thead><tbody>
${rows.map((cells) => row('td', cells)).join('\n')}
</tbody></table></div>`;
}

export function text(value: string): string {
  return escapeHtml(visible(value));
}

export function code(value: string): string {
  return `<code>${text(value)}</code>`;
}

export function known(value: number | undefined): string {
  return value === undefined ? '' : String(value);
}
