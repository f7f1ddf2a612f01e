/** Which Perl scripts are run warm, and which of their modules are loaded ahead: those that are then as in a new process. */

import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';

import { fromText } from '../../../src/base/bytes.js';
import type { Invocation } from '../../../src/cgi/invocation.js';
import { shippedFile } from '../../../src/daemon/package.js';
import { temporaryDirectory } from '../../helpers/temporary.js';
import { runBy, spawned, Warm } from '../../helpers/warm.js';

/** A script, and modules that lie elsewhere. */
async function makeScript(
  text: string,
  modules: Readonly<Record<string, string>> = {},
  options = '',
): Promise<Invocation> {
  const directory = await temporaryDirectory();
  const path = join(directory, 'cgi', 'script.cgi');
  await mkdir(join(directory, 'cgi'));
  await mkdir(join(directory, 'modules'));
  await writeFile(path, `#!/usr/bin/perl${options}\n${text}`);
  await chmod(path, 0o755);
  for (const [name, content] of Object.entries(modules))
    await writeFile(join(directory, 'modules', `${name}.pm`), `package ${name}; ${content}; 1;\n`);
  const variables = new Map([
    ['PATH', '/usr/bin:/bin'],
    ['PERL5LIB', join(directory, 'modules')],
    ['QUERY_STRING', 'a=b'],
  ]);
  return { file: fromText(path), args: ['-a', 'b'], directory: fromText(dirname(path)), variables };
}

describe('A Perl script', { timeout: 300_000 }, () => {
  it('that has something of its own in each process as it is compiled is never run warm', async () => {
    for (const [text, reason] of [
      ['my $token; BEGIN { $token = rand } sub token { $token }', /draws a random number/],
      ['BEGIN { srand 1 }', /draws a random number/],
      ['our $began; BEGIN { $began = time }', /asks for the time/],
      ['BEGIN { my @now = localtime }', /asks for the time/],
      ['use Time::HiRes qw(gettimeofday); BEGIN { my $now = gettimeofday() }', /asks for the time/],
      ['BEGIN { my $began = $^T }', /asks for the time/],
      ['BEGIN { my $own = "/tmp/$$" }', /asks for its process id/],
      ['BEGIN { my ($first) = @ARGV }', /looks at the arguments/],
      ['BEGIN { open F, "/dev/urandom"; read F, my $token, 8; close F }', /reads \/dev\/urandom/],
      ['BEGIN { open my $f, "<", "/proc/self/stat"; close $f }', /reads \/proc\/self\/stat/],
      ['BEGIN { system "true" }', /does something to the system/],
      ['BEGIN { my $user = `true` }', /does something to the system/],
      ['use POSIX (); our $id; BEGIN { $id = POSIX::getpid() }', /asks for its process id/],
      // Nobody sees it ask.
      ['our $link; BEGIN { $link = readlink "/proc/self" }', /another scalar link in each process/],
      [
        'my $link; BEGIN { $link = readlink "/proc/self" } sub link { $link }',
        /another \$link in the script in each process/,
      ],
    ] as const) {
      const invocation = await makeScript(`${text}\nprint "A: b\\n\\n";\n`);
      const warm = new Warm();
      const prepared = await warm.scripts.prepare(invocation);
      assert.ok(prepared.kind === 'unfit', text);
      assert.match(prepared.reason, reason, text);
    }
  });

  it('that others notice as it is compiled is run anew, and has done nothing before', async () => {
    for (const text of [
      'BEGIN { open F, ">>done"; close F }',
      'BEGIN { exec "touch done" if !$ENV{AGAIN}++ }',
      'BEGIN { eval { system "touch done" } }',
      'use POSIX; BEGIN { POSIX::open("done", O_WRONLY | O_CREAT) }',
      'use Socket; BEGIN { socket S, PF_UNIX, SOCK_STREAM, 0; bind S, pack_sockaddr_un "done" }',
      'BEGIN { alarm 60 }',
      'BEGIN { open STDERR, "<&=1" }',
      'BEGIN { close STDIN }',
    ]) {
      const invocation = await makeScript(`${text}\nprint "A: b\\n\\n";\n`);
      const { kind } = await new Warm().scripts.prepare(invocation);
      const names = await readdir(invocation.directory);
      assert.deepEqual([kind, names.map(fromText)], ['unfit', [fromText('script.cgi')]], text);
    }
  });

  it('does what its modules do once for each request, and may start programs by a block', async () => {
    const invocation = await makeScript(
      'open my $f, ">>", "runs"; print $f "."; close $f; require M_acts; sub other { exec { $_[0] } @_ } print "A: b\\n\\n", exists $INC{"M_fit.pm"} ? "ahead" : ""; require M_fit;',
      { M_acts: 'eval { open my $f, ">>", "done"; print $f "." }', M_fit: 'sub run { system { $_[0] } @_ }' },
    );
    const warm = new Warm();
    await warm.warmUp(invocation);
    const { stdout, isWarm } = await warm.run(invocation);
    assert.deepEqual([stdout, isWarm], ['A: b\n\nahead', true]);
    const [done, runs] = ['done', 'runs'].map((name) => readFile(join(invocation.directory, name), 'latin1'));
    assert.equal(await done, await runs);
  });

  it('draws another random number in each process, also where a module’s C code has drawn one ahead', async () => {
    const drawn = 'use List::Util "shuffle"; BEGIN { my @mixed = shuffle 1 .. 9 }';
    const invocation = await makeScript(`${drawn}\nprint "A: b\\n\\n", rand;\n`);
    const warm = new Warm();
    assert.equal((await warm.scripts.prepare(invocation)).kind, 'warm');
    const answers = [await warm.run(invocation), await warm.run(invocation), await warm.run(invocation)];
    assert.deepEqual(new Set(answers.map(({ isWarm }) => isWarm)), new Set([true]));
    assert.equal(new Set(answers.map(({ stdout }) => stdout)).size, 3);
  });

  it('has loaded ahead of its modules those only that are then as in a new process', async () => {
    const other = {
      M_arguments: 'our $value = "@ARGV"',
      M_device: 'open my $file, "<", "/dev/urandom"; read $file, our $value, 8',
      M_drawn: 'our $value = rand',
      M_loads_one: 'require M_drawn; our $value = $M_drawn::value',
      M_moment: 'our $value = time - $^T',
      M_process: 'our $value = $$',
      M_unseen: 'our $value = readlink "/proc/self"',
      M_variable: 'our $value = $ENV{MODE}',
    };
    const ahead = {
      M_defines: 'use Time::HiRes "time"; sub now { time } our $value = join " ", map { $_ * 2 } 1 .. 3',
      M_local: 'use Time::Local; our $value = timegm(0, 0, 0, 1, 0, 100)',
      // It registers a category of warnings.
      M_overloads: 'use overload "cmp" => sub { 1 }; our $value = 1',
    };
    const names = Object.keys({ ...other, ...ahead });
    const invocation = await makeScript(
      `print "A: b\\n\\n", join(' ', sort grep { /^M_/ } keys %INC), "\\n";
$ENV{MODE} = 'set';
for (qw(${names.join(' ')})) { require "$_.pm"; no strict 'refs'; print "$_ ", \${$_ . '::value'}, "\\n" }
print "fresh ", join(' ', $$, $^T - time), "\\n";`,
      { ...other, ...ahead },
    );
    const found = (stdout: string): string =>
      stdout.replaceAll(/^(M_(dev|dra|loa|pro|uns)\w*|fresh) .*$/gms, '$1');
    const expected = found((await runBy(spawned, invocation)).stdout);
    const warm = new Warm();
    await warm.warmUp(invocation);
    const seen = new Set<string>();
    for (let count = 0; count < 3; count++) {
      const { stdout, isWarm } = await warm.run(invocation);
      assert.ok(isWarm);
      const [, , first = ''] = stdout.split('\n');
      assert.equal(
        first,
        Object.keys(ahead)
          .map((name) => `${name}.pm`)
          .join(' '),
      );
      assert.equal(found(stdout).replace(first, ''), expected);
      for (const line of stdout.match(/^M_(dev|dra|loa|pro|uns).*/gm) ?? []) seen.add(line);
    }
    assert.equal(seen.size, 3 * 5);
  });

  it('has loaded ahead, of the files that it names by their paths, those of fcgi2cgi only', async () => {
    const shipped = shippedFile('scripts/gitweb.pm');
    const other = join(await temporaryDirectory(), 'Other.pm');
    await writeFile(other, '1;');
    const invocation = await makeScript(
      `print "A: b\n\n", grep { m{/.*[.]pm$} && m{^/} } keys %INC; require for '${shipped}', '${other}';`,
    );
    const warm = new Warm();
    await warm.warmUp(invocation);
    const { stdout, isWarm } = await warm.run(invocation);
    assert.deepEqual([stdout, isWarm], [`A: b\n\n${shipped}`, true]);
  });

  it('with -T, -t or -U finds all as tainted as in a new process, and nothing more on its standard error', async () => {
    const text = `use Scalar::Util 'tainted';
print "A: b\\n\\n\${^TAINT}\\n";
print "$_ ", tainted($ENV{$_}) ? 1 : 0, "\\n" for sort keys %ENV;
print join(' ', map { tainted($_) ? 1 : 0 } @ARGV, @INC, $0, $^X, $^T, $$, scalar <STDIN>, scalar <DATA>), "\\n";
print eval { open my $file, '>', "/dev/null/$ENV{QUERY_STRING}"; 1 } ? 'opened' : $@;
print eval { kill 0, $ENV{QUERY_STRING}; 1 } ? 'asked' : $@;
print eval { system "true"; 1 } ? 'ran' : $@;
require Text::Wrap;
__DATA__
data
`;
    for (const options of [' -T', ' -t', ' -U', ' -wT', ' -TU']) {
      const invocation = await makeScript(text, {}, options);
      const expected = await runBy(spawned, invocation, 'body');
      const warm = new Warm();
      await warm.warmUp(invocation);
      for (let count = 0; count < 2; count++) {
        const { stdout, stderr, outcome, isWarm } = await warm.run(invocation, 'body');
        assert.ok(isWarm, options);
        assert.deepEqual(
          [stdout, stderr, outcome.exit],
          [expected.stdout, expected.stderr, expected.outcome.exit],
          options,
        );
      }
    }
  });

  it('is run warm whatever it calls by a bare name, and says no more than in a new process', async () => {
    const invocation = await makeScript(
      `use strict; use English; our %opened;
sub empty { open(LOG, '+<', $_[0]) or die; truncate(LOG, 0); my @status = stat(LOG); close(LOG); binmode STDOUT; @status }
sub ask { opendir(DIR, '/'); my @names = readdir DIR; closedir DIR; sleep 0; @names }
my @now = localtime; our $pid = $PID; my $random = int rand 1;
eval { require Not::There };
print "A: b\\n\\n", scalar(@now), " $random ", $pid == $$ ? 'own' : 'other', "\\n";
`,
      {},
      ' -w',
    );
    const expected = await runBy(spawned, invocation);
    const warm = new Warm();
    await warm.warmUp(invocation, { learned: false });
    for (let count = 0; count < 3; count++) {
      const { stdout, stderr, isWarm } = await warm.run(invocation);
      assert.deepEqual([stdout, stderr, isWarm], [expected.stdout, expected.stderr, true]);
    }
  });

  it('finds nothing changed by modules that another request has loaded', async () => {
    const modules = {
      M_defines: 'sub UNIVERSAL::stray { 1 }',
      M_finds: 'push @INC, "/nowhere"',
      M_fit: 'our $value = 1',
      M_handles: '$SIG{__WARN__} = sub { }',
      M_redefines: 'no warnings; *Carp::croak = sub { "redefined" }',
      M_sets: '$Carp::Verbose = 5',
      M_writes: '$, = "-"',
    };
    const other = await makeScript(
      `use Carp; if ($ENV{QUERY_STRING} eq 'a=b') { require "$_.pm" for qw(${Object.keys(modules).join(' ')}) }
print "A: b\\n\\n", main->can('stray') // '', $INC[-1], $SIG{__WARN__} // '', $Carp::Verbose, eval { Carp::croak() } // '', grep { /^M_/ } sort keys %INC;`,
      modules,
    );
    const invocation = { ...other, variables: new Map([...other.variables, ['QUERY_STRING', '']]) };
    const warm = new Warm();
    await warm.warmUp(other);
    const { stdout, isWarm } = await warm.run(invocation);
    assert.deepEqual([stdout, isWarm], [`${(await runBy(spawned, invocation)).stdout}M_fit.pm`, true]);
  });

  it('is loaded once more after a change of what was asked of a file or directory as it was compiled', async () => {
    const invocation = await makeScript(
      `my ($is, @names); BEGIN { $is = stat 'flag'; opendir D, '../modules'; @names = sort readdir D; closedir D }
print "A: b\\n\\n", $is ? 'flag' : '', "@names";`,
    );
    const warm = new Warm();
    for (const path of ['cgi/flag', 'modules/more']) {
      assert.equal((await warm.scripts.prepare(invocation)).kind, 'warm');
      await writeFile(join(invocation.directory, '..', path), '');
      assert.equal((await warm.run(invocation)).stdout, (await runBy(spawned, invocation)).stdout, path);
    }
  });

  it('is loaded once more where a new process would find other modules, or read other files', async () => {
    const invocation = await makeScript(
      `use M_reads; use Some::Part; print "A: b\\n\\n$M_reads::value $M_reads::optional $Some::Part::value ", join(' ', grep { /arch/ } map { m{/modules/(.*)} ? "arch" : () } @INC), "\\n";`,
      {
        M_reads:
          'our $value = join " ", map { open(my $f, "<", "$_") ? <$f> : "none" } map { "$ENV{PERL5LIB}/$_" } "one", "two"; our $optional = eval { require Opt::Ional; 1 } // 0',
      },
    );
    const modules = join(dirname(invocation.directory), 'modules');
    await writeFile(join(modules, 'one'), 'one');
    await mkdir(join(modules, 'late'));
    await mkdir(join(modules, 'Some'));
    await writeFile(join(modules, 'Some', 'Part.pm'), 'package Some::Part; our $value = "part"; 1;');
    const first = join(modules, '..', 'first');
    await mkdir(join(first, 'Some'), { recursive: true });
    (invocation.variables as Map<string, string>).set('PERL5LIB', `${first}:${modules}`);
    const warm = new Warm();
    for (const change of [
      () => writeFile(join(modules, 'one'), 'another'),
      () => writeFile(join(first, 'Some', 'Part.pm'), 'package Some::Part; our $value = "other part"; 1;'),
      async () => {
        await mkdir(join(modules, 'Opt'));
        await writeFile(join(modules, 'Opt', 'Ional.pm'), '1;');
      },
      () => mkdir(join(modules, process.arch === 'x64' ? '5.0' : '5.1')),
    ]) {
      assert.equal((await warm.scripts.prepare(invocation)).kind, 'warm');
      assert.ok((await warm.run(invocation)).isWarm);
      await change();
      assert.equal(
        (await warm.run(invocation)).stdout,
        (await runBy(spawned, invocation)).stdout,
        String(change),
      );
    }
  });
});
