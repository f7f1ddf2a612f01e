import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { isService } from '../../../src/sites/git/services.js';

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
});
