import assert from 'node:assert/strict';
import { describe, it } from 'node:test';

import { isLegalName, mayBecomeVariable, metaVariables } from '../../src/cgi/invocation.js';

/** What metaVariables makes of params alone. */
function fromParams(params: Readonly<Record<string, string>>): Record<string, string> {
  const variables = metaVariables({ base: [], params: Object.entries(params), administrator: [] });
  return Object.fromEntries(variables);
}

describe('The params that become meta-variables', () => {
  const steering = [
    'HTTP_PROXY',
    'LD_PRELOAD',
    'LD_LIBRARY_PATH',
    'DYLD_INSERT_LIBRARIES',
    'GCONV_PATH',
    'GLIBC_TUNABLES',
    'LOCPATH',
    'BASH_ENV',
    'ENV',
    'IFS',
    'PS4',
    'SHELLOPTS',
    'BASHOPTS',
    'CDPATH',
    'GLOBIGNORE',
    'MALLOC_CHECK_',
    'BASH_FUNC_cat%%',
    'PERL5OPT',
    'PERL5LIB',
    'PERLLIB',
    'PERL5DB',
    'PERLIO',
    'PYTHONPATH',
    'PYTHONHOME',
    'PYTHONSTARTUP',
    'PYTHONINSPECT',
    'RUBYOPT',
    'RUBYLIB',
    'NODE_OPTIONS',
    'NODE_PATH',
    'JAVA_TOOL_OPTIONS',
    '_JAVA_OPTIONS',
    'TCLLIBPATH',
    'LUA_INIT',
  ];
  for (const name of steering) {
    it(`do not include ${name}, which decides what code runs`, () => {
      assert.equal(mayBecomeVariable(name), false);
      assert.deepEqual(fromParams({ [name]: 'evil' }), { GATEWAY_INTERFACE: 'CGI/1.1' });
    });
  }

  it('have a length of digits alone, or none', () => {
    for (const [length, isKept] of [
      ['', true],
      ['0', true],
      ['17', true],
      ['-1', false],
      ['1 7', false],
    ] as const)
      assert.equal('CONTENT_LENGTH' in fromParams({ CONTENT_LENGTH: length }), isKept, length);
  });

  const passing = [
    'GIT_PROJECT_ROOT',
    'GIT_HTTP_EXPORT_ALL',
    'GITWEB_CONFIG',
    'PATH_TRANSLATED',
    'PATH_INFO',
    'HTTP_PROXY_AUTHORIZATION',
    'HTTP_X_PROXY',
    'HTTP_GIT_PROTOCOL',
    'HTTP_X_HGARG_1',
    'ENVIRONMENT',
    'OLD_LD_PATH',
    'X_PYTHON',
    'SSL_CLIENT_S_DN',
    'A.B',
    'A-B',
    '__proto__',
    'constructor',
    'na\xefve',
  ];
  for (const name of passing) {
    it(`include ${name} with its octets`, () => {
      const variables = metaVariables({ base: [], params: [[name, 'a\xff \n']], administrator: [] });
      assert.equal(variables.get(name), 'a\xff \n');
    });
  }

  it('include one with an empty value, which is not the same as none', () => {
    assert.equal(fromParams({ GIT_HTTP_EXPORT_ALL: '' })['GIT_HTTP_EXPORT_ALL'], '');
  });

  it('do not include names that an environment can’t hold', () => {
    for (const name of ['', '=', 'A=B', '=A', 'A\0', '\0']) {
      assert.equal(isLegalName(name), false, JSON.stringify(name));
      assert.equal(mayBecomeVariable(name), false, JSON.stringify(name));
    }
    assert.deepEqual(fromParams({ 'A=B': 'C', '': 'x', 'N\0': 'y' }), { GATEWAY_INTERFACE: 'CGI/1.1' });
  });

  it('have the last value of a name that repeats', () => {
    const params: [string, string][] = [
      ['A', '1'],
      ['A', '2'],
    ];
    assert.equal(metaVariables({ base: [], params, administrator: [] }).get('A'), '2');
  });
});

describe('The layers of an environment', () => {
  it('win in the order base, params, site, administrator', () => {
    const all = { B: 'base', P: 'base', S: 'base', A: 'base' };
    const variables = metaVariables({
      base: Object.entries(all),
      params: Object.entries({ P: 'params', S: 'params', A: 'params' }),
      site: Object.entries({ S: 'site', A: 'site' }),
      administrator: Object.entries({ A: 'administrator' }),
    });
    assert.deepEqual(Object.fromEntries(variables), {
      B: 'base',
      P: 'params',
      S: 'site',
      A: 'administrator',
      GATEWAY_INTERFACE: 'CGI/1.1',
    });
  });

  it('let the site and the administrator set what a param may not', () => {
    const variables = metaVariables({
      base: [],
      params: [
        ['PYTHONPATH', '/evil'],
        ['LD_PRELOAD', '/evil'],
      ],
      site: [['PYTHONPATH', '/site']],
      administrator: [['LD_PRELOAD', '/chosen']],
    });
    assert.equal(variables.get('PYTHONPATH'), '/site');
    assert.equal(variables.get('LD_PRELOAD'), '/chosen');
  });

  it('say CGI/1.1 whatever the base environment says', () => {
    const base: [string, string][] = [['GATEWAY_INTERFACE', 'FOO/7']];
    assert.equal(metaVariables({ base, params: [], administrator: [] }).get('GATEWAY_INTERFACE'), 'CGI/1.1');
  });
});
