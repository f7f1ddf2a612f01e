import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { copyFile, readFile, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

import { GitVersion } from '../../../src/sites/git/installation.js';
import { bare } from '../../helpers/git-invocation.js';
import { makeTree } from '../../helpers/file-tree.js';
import { gitweb } from '../../helpers/gitweb-hosts.js';
import { temporaryDirectory } from '../../helpers/temporary.js';

const settings = fileURLToPath(new URL('../../../../scripts/gitweb.conf', import.meta.url));

/** What of gitweb the settings need to be read. */
const stub = `our $cgi = bless {}; sub script_name {} sub url { 'http://localhost' } our %feature;
  sub evaluate_and_validate_params {}`;

const variables = {
  PATH: '/usr/bin:/bin',
  GATEWAY_INTERFACE: 'CGI/1.1',
  REQUEST_METHOD: 'GET',
  PATH_INFO: '/',
  SCRIPT_NAME: '',
  SERVER_NAME: 'localhost',
  GITWEB_CONFIG: settings,
  FCGI2CGI_GIT: '/usr/bin/git',
};

describe('Gitweb with the settings that fcgi2cgi gives it', { timeout: 60_000 }, () => {
  let directory: string;
  before(async () => {
    directory = await temporaryDirectory();
    await makeTree(directory, { ...bare('public'), ...bare('hidden.git'), ...bare('repos/shown.git') });
  });

  /** The page of a query, asked where a name that is not in the list would lead to a repository. */
  const page = (query: string, more: Readonly<Record<string, string>> = {}): string =>
    execFileSync('perl', [gitweb], {
      cwd: directory,
      input: `shown.git\0${directory}/public\0`,
      env: { ...variables, QUERY_STRING: query, ...more },
    }).toString();

  /** What a script prints that reads the settings, its first argument, by itself. */
  const perl = (script: string, args: readonly string[] = []): string =>
    execFileSync('perl', ['-e', script, settings, ...args], {
      cwd: directory,
      input: `shown.git\0${directory}/public\0`,
    }).toString();

  it('reach what is in the list, by its name there', () => {
    assert.match(page('p=shown.git;a=summary'), /^Status: 200 OK\r\n[^]*<title>.*shown\.git\/summary/);
  });

  it('reach nothing by any other name, by which something is there', () => {
    const names = ['hidden.git', 'public', 'repos/shown.git', join(directory, 'hidden.git').slice(1)];
    for (const name of names) {
      for (const action of ['summary', 'project_list', 'opml']) {
        const shown = page(`p=${name};a=${action}`);
        assert.match(shown, /^Status: 404 /, `${name} ${action}`);
      }
    }
  });

  it('let gitweb show nothing where they have gone', () => {
    const gone = { GITWEB_CONFIG: '/nowhere', GITWEB_CONFIG_SYSTEM: '/bin/sh' };
    // Newer ones end because of the file that is missing in Perl's own words, older ones as `sh` is no Perl.
    assert.throws(
      () => page('a=project_list', gone),
      ({ stdout }: { stdout: Buffer }) => stdout.includes('500 - Internal Server Error'),
    );
  });

  it('take the version that they are told, of that very git and of no other', async () => {
    const told = async (git: string): Promise<string> => {
      const version = new GitVersion(git, () => Date.now() + 60_000);
      assert.equal(version.known(), undefined);
      await version.looked;
      return (version.known() ?? assert.fail()).replace(/ .*/, ' 0.told');
    };
    const generator = (variables: Readonly<Record<string, string>>): string | undefined =>
      /<meta name="generator" content="gitweb\/\S+ git\/([^" ]+)/.exec(page('', variables))?.[1];
    const version = await told('/usr/bin/git');
    assert.equal(generator({ FCGI2CGI_GIT_VERSION: version }), '0.told');
    const other = join(directory, 'git');
    await copyFile('/usr/bin/git', other);
    const real = execFileSync('git', ['--version'], { encoding: 'utf8' }).trim().split(' ')[2];
    assert.equal(generator({ FCGI2CGI_GIT_VERSION: version, FCGI2CGI_GIT: other }), real);
    const config = join(directory, 'own.conf');
    await writeFile(config, `$GIT = '${other}';\n1;\n`);
    assert.equal(generator({ FCGI2CGI_GIT_VERSION: version, FCGI2CGI_GITWEB_CONFIG: config }), real);
    assert.equal(generator({ FCGI2CGI_GIT_VERSION: await told(other), FCGI2CGI_GIT: other }), '0.told');
    const before = await told(other);
    await utimes(other, 1, 1);
    assert.equal(generator({ FCGI2CGI_GIT_VERSION: before, FCGI2CGI_GIT: other }), real);
  });

  it('search by regular expressions only where the user’s own settings say so', async () => {
    const config = join(directory, 'regexp.conf');
    await writeFile(config, '$feature{regexp}{default} = [1];\n1;\n');
    const own = { FCGI2CGI_GITWEB_CONFIG: config };
    assert.match(page('s=sho.n;sr=1', own), /^Status: 200 OK[^]*name="sr"[^]*<span class="match">shown</);
    assert.match(page('s=sho.n;sr=1'), /^Status: 403 Forbidden/);
    assert.doesNotMatch(page('s=shown'), /name="sr"/);
  });

  it('have CGI.pm read no header as a pattern that may take for ever', () => {
    const typed = (accept: string): string | undefined =>
      /^Content-Type: ([^;]+)/m.exec(page('p=shown.git;a=rss', { HTTP_ACCEPT: accept }))?.[1];
    assert.equal(typed('text/html, text/*'), 'text/xml');
    assert.equal(typed('text/html, t*x*t/*'), 'application/rss+xml');
  });

  it('refuse a path whose length and parts would cost gitweb much, wherever it stands', () => {
    const deep = 'abc/'.repeat(1000);
    const costly = ['a/'.repeat(1500), 'x:'.repeat(1500), '/'.repeat(2100), ':x..'.repeat(150)];
    const script = `${stub} sub is_costly { ($path_info, %input_params) = @_; FCGI2CGI::OwnChecks::is_costly() ? 1 : 0 }
      do $ARGV[0] or die $@;
      print join '', map { my $long = $_; map { is_costly(@$_) } [$long], map { ['', $_, $long] } qw(file_name hash) } @ARGV[1..$#ARGV];`;
    assert.equal(perl(script, [deep, ...costly]), `000${'111'.repeat(costly.length)}`);
    const path = `/shown.git/${'a/'.repeat(1500)}`;
    assert.match(page('', { PATH_INFO: path }), /^Status: 400 [^]*too long, or has too many/);
  });

  it('name the installation, and no option, where a file of it is missing', async () => {
    const alone = join(directory, 'alone.conf');
    await copyFile(settings, alone);
    const isRefused = (missing: RegExp): void => {
      assert.throws(
        () => page('', { GITWEB_CONFIG: alone }),
        (error: { stdout: Buffer; stderr: Buffer }) => {
          assert.match(
            error.stdout.toString(),
            /^Status: 500 [^]*There is an error in the installation of fcgi2cgi;/,
          );
          assert.match(error.stderr.toString(), missing);
          return true;
        },
      );
    };
    isRefused(/^the installation of fcgi2cgi: Can't locate \S+gitweb\.pm/);
    await copyFile(join(dirname(settings), 'gitweb.pm'), join(directory, 'gitweb.pm'));
    isRefused(/^the installation of fcgi2cgi: \S+gitweb-checks\.conf: No such file/);
  });

  it('refuse what they do also where the system’s own settings are another version of them', async () => {
    const module = join(dirname(settings), 'gitweb.pm');
    const checks = await readFile(join(dirname(settings), 'gitweb-checks.conf'), 'utf8');
    const other = join(directory, 'other-checks.conf');
    await writeFile(other, checks.replace('our $is_private', 'my $is_private').replace('\\@\\{ |', ''));
    // As --runner warm has it, which compiles the module before gitweb reads any.
    const said = execFileSync('perl', ['-e', 'require shift; $0 = shift; do $0', module, gitweb], {
      cwd: directory,
      input: `shown.git\0${directory}/public\0`,
      env: { ...variables, QUERY_STRING: 'p=shown.git;a=log;h=HEAD@{0}', GITWEB_CONFIG_COMMON: other },
    }).toString();
    assert.match(said, /^Status: 404 /);
  });

  it('look at each character of a line but once, however many tabs or dots it has', () => {
    const script = `${stub} sub esc_html { 'text' } sub format_log_line_html { 'linked' } do $ARGV[0] or die $@;
      print join ',', untabify("\\ta\\t\\tbcdefghi\\tj"), map { format_log_line_html($_) } 'a.' x 64 . ' ' . 'a.' x 64, 'a.' x 65;`;
    assert.equal(perl(script), `${' '.repeat(8)}a${' '.repeat(15)}bcdefghi${' '.repeat(8)}j,linked,text`);
  });

  it('have a root that by itself is no directory, nor with anything before or behind it', () => {
    const script = `${stub} do $ARGV[0] or die $@;
      print join "\\n", "$projectroot", "$projectroot/", "$projectroot/none", "/srv$projectroot";`;
    for (const path of perl(script).split('\n')) assert.match(path, /^(\/srv)?\/dev\/null\/nowhere/);
  });
});
