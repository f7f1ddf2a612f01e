/** Text from anywhere, made safe to stand in a line of a log. */

/** Control characters, and what a terminal or an editor may take for the end of a line. */
const treacherous = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;
/** Also what any tool may cut a line at: white space and quotes; and the backslash, so that all can be undone. */
const separating = /[\p{Cc}\p{Cf}\p{Cs}\p{Z}"\\]/gu;
/** What ends the name of a field. */
const equalsOfField = /(?<=(?:^|\s|")[\w.-]+)=/g;

/** The text with its treacherous characters as escapes of JSON's form. */
export function visible(text: string): string {
  return text.replace(treacherous, escapes);
}

/** The text as one word, with neither a space nor a quote in it. */
export function word(text: string): string {
  return text.replace(separating, escapes);
}

/** The text as one field in double quotes, with neither a space nor a quote inside; `JSON.parse` gives it back. */
export function quoted(text: string): string {
  return `"${word(text)}"`;
}

/** The text, visible, and with no `name=` in it that a tool which cuts at spaces would take for a field's. */
export function withoutFields(text: string): string {
  return visible(text).replace(equalsOfField, '\\u003d');
}

function escapes(character: string): string {
  return character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('');
}
