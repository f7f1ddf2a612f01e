/** Cuts what a worker says into lines. */

import type { Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';

/** Of a line that does not end; then it is cut. */
const MAX_LINE_LENGTH = 4_096;

/** Calls `onLine` with each line of the stream as text, without its end and without empty ones, until it ends. */
export function eachLine(stream: Readable, onLine: (line: string) => void): void {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  const take = (text: string, isLast: boolean): void => {
    const lines = (rest + text).split(/\r?\n/);
    rest = isLast ? '' : (lines.pop() ?? '');
    if (rest.length > MAX_LINE_LENGTH) {
      lines.push(rest);
      rest = '';
    }
    for (const line of lines) {
      for (let start = 0; start < line.length; start += MAX_LINE_LENGTH) {
        onLine(line.slice(start, start + MAX_LINE_LENGTH));
      }
    }
  };
  stream.on('data', (chunk: Buffer) => {
    take(decoder.write(chunk), false);
  });
  stream.once('close', () => {
    take(decoder.end(), true);
  });
  stream.on('error', () => undefined);
}
