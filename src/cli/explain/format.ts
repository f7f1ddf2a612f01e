/** Shows an explanation to people. */

import { statusText } from '../../cgi/document-response.js';
import { visible } from '../../observe/escape.js';
import type { Explanation } from './explanation.js';

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
      `answers     ${statusText(status)}, with ${String(bytes)} octets of its own`,
      ...fields.map(({ name, value }) => `field       ${name}: ${value}`),
    ];
  }
  const { program, directory, input, variables, dropped } = explanation;
  return [
    `runs        ${program}`,
    ...explanation.arguments.map((argument) => `argument    ${argument}`),
    `directory   ${directory}`,
    `input       ${input}`,
    ...variables.map(({ name, value, from }) => `${from.padEnd(11)} ${name}=${value}`),
    ...dropped.map(({ name, value, why }) => `dropped     ${name}=${value}: ${why}`),
  ];
}
