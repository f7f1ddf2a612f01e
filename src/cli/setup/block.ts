/** Lines that `fcgi2cgi setup` has in a file that has others: whether they are as written, and how they get there. */

import { BridgeError } from '../../base/errors.js';
import { readToml, type Section, TomlError } from '../toml-file/toml.js';

/** The sections of `text`, which is that of the file at `path`. @throws BridgeError where it is no TOML */
export function sectionsOf(path: string, text: string): readonly Section[] {
  try {
    return readToml(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const { line, column } = error.place;
    const where = `${path}:${String(line)}:${String(column)}`;
    throw new BridgeError('ERR_START', `${where}: ${error.message}`, { cause: error });
  }
}

/**
 * What has become of `block` in `text`, which is that of the file at `path`. In TOML, a key that somebody has added to
 * a section of the block changes the block: without the header, that key would belong to the section above.
 */
export function stateOf(path: string, text: string, block: string): 'missing' | 'as written' | 'changed' {
  const isWritten = `\n${text}`.split(block.startsWith('\n') ? block : `\n${block}`).length === 2;
  if (!path.endsWith('.toml')) {
    if (isWritten) return 'as written';
    return text.replaceAll(/#.*/g, '').includes(block.trim()) ? 'changed' : 'missing';
  }
  const [, ...written] = sectionsOf(path, block);
  const isOfBlock = ({ name }: Section): boolean =>
    written.some((section) => section.name.every((part, index) => part === name[index]));
  const present = sectionsOf(path, text).filter(isOfBlock);
  if (present.length === 0) return 'missing';
  return isWritten && shapeOf(present) === shapeOf(written) ? 'as written' : 'changed';
}

const shapeOf = (sections: readonly Section[]): string =>
  JSON.stringify(
    sections.map(({ name, entries }) => [name, entries.map(({ key, source }) => [key, source])]),
  );

/** `text` with `block` where `before` stands, or else at its end. */
export function withBlock(text: string, before: string, block: string): string {
  if (before !== '' && text.includes(before)) return text.replace(before, () => block);
  const isOpen = text !== '' && !text.endsWith('\n') && !block.startsWith('\n');
  return `${text}${isOpen ? '\n' : ''}${block}`;
}
