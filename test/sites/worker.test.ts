import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { workerSite } from '../../src/sites/script.js';

const site = workerSite({
  command: ['/app', '-x'],
  directory: '/srv',
  administrator: new Map([['GITWEB_CONFIG', '/etc/ours']]),
});

describe('The site of a FastCGI application', () => {
  it('passes the params on as they are, less those that would decide what code runs', async () => {
    const resolution = await site.resolve([
      ['REQUEST_METHOD', 'GET'],
      ['EMPTY', ''],
      ['PATH_INFO', '/lat\xefn'],
      ['PATH', '/evil'],
      ['HTTP_PROXY', 'http://evil'],
      ['PERL5LIB', '/evil'],
    ]);
    assert.ok(resolution.kind === 'run');
    assert.deepEqual(Object.fromEntries(resolution.invocation.variables), {
      GATEWAY_INTERFACE: 'CGI/1.1',
      REQUEST_METHOD: 'GET',
      EMPTY: '',
      PATH_INFO: '/lat\xefn',
      PATH: '/evil',
      GITWEB_CONFIG: '/etc/ours',
    });
  });

  it('lets no param override what the administrator says, and wants bodies with their length', async () => {
    const resolution = await site.resolve([['GITWEB_CONFIG', '/tmp/theirs']]);
    assert.ok(resolution.kind === 'run');
    const { invocation } = resolution;
    assert.equal(invocation.variables.get('GITWEB_CONFIG'), '/etc/ours');
    assert.deepEqual(
      [invocation.file, invocation.args, invocation.directory, invocation.body],
      ['/app', ['-x'], '/srv', 'with-length'],
    );
  });
});
