/** What an option takes, for yargs: everything is text until `OptionReader` reads it. */

/** One value. */
export const text = { type: 'string', requiresArg: true } as const;

/** A value each time it is given. */
export const list = { type: 'string', array: true, requiresArg: true } as const;
