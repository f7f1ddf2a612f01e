import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { fromText } from '../../../src/base/bytes.js';
import {
  type InterpretedScript,
  Interpreters,
  type OtherProgram,
} from '../../../src/runners/warm/interpreter.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

describe('The interpreter of a script', () => {
  const find = async (line: string): Promise<InterpretedScript | OtherProgram> => {
    const file = join(await temporaryDirectory(), 'script');
    await writeFile(file, `${line}\n`, { mode: 0o755 });
    const invocation = {
      file: fromText(file),
      args: [],
      directory: '/',
      variables: new Map<string, string>(),
    };
    return new Interpreters(1).find(invocation);
  };

  it('has a fork server with options that change nothing for it', async () => {
    for (const line of ['#!/usr/bin/perl -wT', '#!/usr/bin/python3 -E', '#!/usr/bin/env python3']) {
      assert.equal((await find(line)).kind, 'interpreted', line);
    }
  });

  it('has none with others, which may run the script otherwise', async () => {
    for (const line of [
      '#!/usr/bin/perl -n',
      '#!/usr/bin/perl -w -d',
      '#!/usr/bin/python3 -m',
      '#!/bin/sh',
    ]) {
      assert.equal((await find(line)).kind, 'other', line);
    }
  });
});
