import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { saysWho, withoutUser } from '../../src/sites/remote-user.js';
import { somebody } from '../helpers/somebody.js';

describe('Params of a request of nobody’s', () => {
  it('have none by which hgweb, git, gitweb or a hook would know somebody', () => {
    for (const name of [...Object.keys(somebody), 'PROXY_AUTHORIZATION', 'HTTP_PROXY_AUTHORIZATION']) {
      for (const written of [name, name.toLowerCase(), `REDIRECT_${name}`, `REDIRECT_REDIRECT_${name}`]) {
        assert.ok(saysWho(written), written);
      }
    }
  });

  it('have all else', () => {
    const params = [
      ['REMOTE_ADDR', '192.0.2.1'],
      ['REMOTE_HOST', 'h'],
      ['REMOTE_PORT', '1'],
      ['HTTP_USER_AGENT', 'git/2'],
      ['SSL_PROTOCOL', 'TLSv1.3'],
      ['HTTP_WWW_AUTHENTICATE', 'x'],
      ['SERVER_NAME', 'h'],
    ] as const;
    assert.deepEqual(withoutUser([...params, ['REMOTE_USER', 'ann']]), params);
  });
});
