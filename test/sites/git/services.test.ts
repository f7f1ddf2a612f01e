import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { isPush, isService } from '../../../src/sites/git/services.js';

const sha1 = 'a'.repeat(38);
const sha256 = '0'.repeat(62);

describe('What follows a repository in a path', () => {
  it('is git’s where git-http-backend has a service of that name', () => {
    for (const rest of [
      '/HEAD',
      '//HEAD',
      '/info/refs',
      '/objects/info/alternates',
      '/objects/info/http-alternates',
      '/objects/info/packs',
      `/objects/12/${sha1}`,
      `/objects/ff/${sha256}`,
      `/objects/pack/pack-00${sha1}.pack`,
      `/objects/pack/pack-00${sha256}.idx`,
      '/git-upload-pack',
      '/git-upload-archive',
      '/git-receive-pack',
    ]) {
      assert.equal(isService(rest), true, rest);
    }
  });

  it('is gitweb’s otherwise, also where a file of the repository has such a name', () => {
    for (const rest of [
      '',
      '/',
      '/summary',
      '/commit/HEAD',
      '/shortlog/HEAD',
      '/blob_plain/HEAD:/info/refs',
      '/tree/refs/heads/x:/objects/info/packs',
      '/info/refs/',
      '/info/refsx',
      '/info/refs\n',
      '/objects/info/x',
      `/objects/12/${sha1}0`,
      `/objects/1G/${sha1}`,
      `/objects/pack/pack-00${sha1}.keep`,
      '/git-shell',
      '/config',
    ]) {
      assert.equal(isService(rest), false, rest);
    }
  });

  it('is a push where something is to be received, or is asked about it', () => {
    for (const [rest, query] of [
      ['/git-receive-pack', ''],
      ['//git-receive-pack', 'service=git-upload-pack'],
      ['/info/refs', 'service=git-receive-pack'],
      ['//info/refs', 'service=git-upload-pack&service=git%2Dreceive%2dpack'],
    ] as const) {
      assert.equal(isPush(rest, query), true, `${rest}?${query}`);
    }
    for (const [rest, query] of [
      ['/info/refs', ''],
      ['/info/refs', 'service=git-upload-pack'],
      ['/git-upload-pack', 'service=git-receive-pack'],
      ['/HEAD', ''],
    ] as const) {
      assert.equal(isPush(rest, query), false, `${rest}?${query}`);
    }
  });
});
