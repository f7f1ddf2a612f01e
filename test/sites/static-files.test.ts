import assert from 'node:assert/strict';
import { truncate } from 'node:fs/promises';
import { beforeEach, describe, it } from 'node:test';

import { staticFile } from '../../src/sites/static-files.js';
import { makeTree } from '../helpers/file-tree.js';
import { temporaryDirectory } from '../helpers/temporary.js';

let directory: string;

beforeEach(async () => {
  directory = await temporaryDirectory();
  await makeTree(directory, { 'files/a.css': { content: 'a {}' }, 'secret.css': { content: 'secret' } });
});

const ask = (name: string, params: Readonly<Record<string, string>> = {}): ReturnType<typeof staticFile> =>
  staticFile(`${directory}/files`, name, Object.entries(params));

describe('A static file', () => {
  it('is answered with its type, its length and what a browser needs to keep it', async () => {
    const answer = await ask('a.css', { REQUEST_METHOD: 'GET' });
    const { ETag: etag, ...fields } = Object.fromEntries(answer?.fields ?? []);
    assert.deepEqual([answer?.status, answer?.body.toString()], [200, 'a {}']);
    assert.match(String(etag), /^"[^"]+"$/);
    assert.deepEqual(fields, {
      'Content-Type': 'text/css; charset=utf-8',
      'Content-Length': '4',
      'Cache-Control': 'max-age=3600',
    });
  });

  it('has the same fields and no body for HEAD', async () => {
    const get = await ask('a.css');
    const head = await ask('a.css', { REQUEST_METHOD: 'HEAD' });
    assert.deepEqual([head?.fields, head?.body.length], [get?.fields, 0]);
  });

  it('is not sent to a browser that has it, and sent when it has changed', async () => {
    const tag = Object.fromEntries((await ask('a.css'))?.fields ?? [])['ETag'] ?? '';
    for (const known of [tag, `W/${tag}`, `"x", ${tag}`, '*']) {
      const answer = await ask('a.css', { HTTP_IF_NONE_MATCH: known });
      assert.deepEqual([answer?.status, answer?.body.length], [304, 0], known);
    }
    await makeTree(directory, { 'files/a.css': { content: 'a { color: red }' } });
    assert.equal((await ask('a.css', { HTTP_IF_NONE_MATCH: tag }))?.status, 200);
  });

  it('is a regular file of a known kind, inside the directory', async () => {
    await makeTree(directory, {
      'files/program.cgi': { content: '#!/bin/sh' },
      'files/linked.css': { link: '../secret.css' },
      'files/inside.css': { link: 'a.css' },
      'files/directory.css': 'directory',
      'files/.hidden.css': { content: 'x' },
    });
    assert.equal((await ask('inside.css'))?.status, 200);
    for (const name of ['program.cgi', 'linked.css', 'directory.css', '.hidden.css', 'none.css']) {
      assert.equal(await ask(name), undefined, name);
    }
    await truncate(`${directory}/files/a.css`, 4_194_304);
    assert.equal((await ask('a.css'))?.body.length, 4_194_304);
    await truncate(`${directory}/files/a.css`, 4_194_305);
    assert.equal(await ask('a.css'), undefined, 'too large to be one');
    for (const name of ['', '.', '..', '../secret.css', '/etc/a.css', 'a.css\0', 'a.css\n']) {
      assert.equal(await ask(name), undefined, name);
    }
  });
});
