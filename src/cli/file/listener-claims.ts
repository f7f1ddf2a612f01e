/** Knows which section of a configuration file listens where, so that no two listen at the same place. */

import { formatAddress, parseAddress } from '../../daemon/address.js';
import type { LocatedError, Location } from './located.js';
import type { Item, Section } from './toml.js';

export class ListenerClaims {
  readonly #directory: string;
  /** Where each address was first named. */
  readonly #claims = new Map<string, string>();

  /** Relative paths count from `directory`. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Takes the addresses of a section; returns an error for each that was taken before. */
  claim(section: Section, location: Location): readonly LocatedError[] {
    const entry = section.entries.find(({ key }) => key === 'listen');
    if (entry === undefined) return [];
    const items = entry.value.kind === 'list' ? entry.value.items : [entry];
    return items.flatMap((item) => {
      const address = this.#addressOf(item);
      if (address === undefined) return [];
      const before = this.#claims.get(address);
      if (before === undefined) {
        this.#claims.set(address, `${section.source} in line ${String(item.place.line)}`);
        return [];
      }
      const why = `${before} listens there already; expected an address of its own`;
      return [location.ofEntry(entry, why, item)];
    });
  }

  /** An address in one form, however it is written; undefined for what is none, and for any free port. */
  #addressOf({ value }: Item): string | undefined {
    if (value.kind !== 'text') return undefined;
    try {
      const address = parseAddress(value.text, this.#directory);
      return address.kind === 'tcp' && address.port === 0 ? undefined : formatAddress(address);
    } catch {
      // Whoever reads the value says what is wrong with it.
      return undefined;
    }
  }
}
