import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { refuseUnclear, saysWho, withoutUser } from '../../src/sites/request-path.js';
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

describe('A query that a web server may read in another way', () => {
  it('is refused', () => {
    for (const query of [
      ...['cmd=a&cmd=b', 'cmd&cmd=b', 'CMD=a&cmd=b', 'cmd=a&Cmd=b', 'x&cmd=a&cmd=a', 'cmd=a;cmd=b'],
      ...[
        '%63md=a',
        'c%6Dd=a',
        'CMD=a',
        '%43MD=a',
        'cmd',
        'x&cmd&y',
        'x;cmd=a',
        'cmd=a;x',
        'cmd%'.concat('=&cmd'),
      ],
      ...['cmd=%61', 'cmd=a+', 'cmd=a%00', 'cmd=a#', 'cmd=a=b', 'cmd=\xe9', 'cmd=a\n', 'cmd=a b'],
    ]) {
      const refused = refuseUnclear(query, 'cmd');
      assert.equal(refused?.kind === 'refuse' && refused.refusal.status, 400, query);
    }
  });

  it('is none that has the name once in plain letters, or not at all', () => {
    for (const query of [
      ...['', 'x', 'x=cmd', 'cmds=a', 'xcmd=a', 'x=cmd=a', 'x%26cmd=a', 'cmd[]=a', '?cmd=a', '%', '%zz&=cmd'],
      ...['cmd=', 'cmd=a', 'x&cmd=a', 'cmd=a&x=%61', 'a=b&cmd=git-upload_pack.2&c;d'],
    ]) {
      assert.equal(refuseUnclear(query, 'cmd'), undefined, query);
    }
  });
});
