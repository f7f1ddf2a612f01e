/** `fcgi2cgi setup` on a machine of a test's own: from nothing to pages and pushes, and back without a trace. */

import assert from 'node:assert/strict';
import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';

import { runToEnd } from '../helpers/command.js';
import { bundled, readableTop } from '../helpers/package-copy.js';
import { temporaryDirectory } from '../helpers/temporary.js';

/** What setup writes lies above what is there; services run by their scripts of SysV, and end with the first process. */
const machine = `
exec 2>&1 < /dev/null
home=$1 node=$2 command=$3 server=$4 user=$5
mount --make-rprivate /
mkdir "$home/etc" && mount -t tmpfs none "$home/etc" && mkdir "$home"/etc/{upper,work}
mount -t overlay -o "lowerdir=/etc,upperdir=$home/etc/upper,workdir=$home/etc/work" overlay /etc
for each in /srv /run /var/log /var/www /var/lib; do mount -t tmpfs -o mode=755 none $each; done
mkdir -p /run/lock /var/lib/nginx /var/log/nginx
install -d -o www-data /var/log/lighttpd /run/lighttpd
ip link set lo up
printf '127.0.0.1 localhost hg.test git.test\\n' > /etc/hosts
export HOME=$home GIT_TERMINAL_PROMPT=0 HGUSER=ann HGPLAIN=1 PATH=$PATH:/usr/sbin:/sbin
cd "$home"
git config --global user.name ann && git config --global user.email ann@example.org
setup() { "$node" "$command" setup "$@" --system sysv --web-server "$server" \${user:+--user "$user"}; }
undo() { "$node" "$command" setup "$@" --system sysv --undo; }
listing() {
  find /etc /srv /var/www /var/lib/fcgi2cgi /var/log/fcgi2cgi* ! -name '.depend.*' -printf '%p %y %u %m %l\\n' 2> /dev/null | sort || true
  find /etc -type f ! -name '.depend.*' -exec md5sum {} + | sort
}
no() { if "$@" > said 2>&1; then echo "was not refused: $*"; exit 1; else grep '^fcgi2cgi:' said || true; fi; }
status() { curl --silent --output /dev/null --write-out '%{http_code}' "$@"; }
`;

const skip = process.getuid?.() !== 0 && 'needs root';

/** Runs a script of bash there, all of whose commands have to succeed. */
async function on(server: string, script: string, user = ''): Promise<string> {
  const home = await temporaryDirectory();
  await chmod(home, 0o755);
  const namespaces = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const { status, stdout } = await runToEnd('timeout', [
    ...['--kill-after=5', '200', 'unshare', ...namespaces, 'bash', '-euo', 'pipefail', '-c'],
    ...[machine + script, 'bash', home, process.execPath, join(readableTop(), bundled), server, user],
  ]);
  assert.equal(status, 0, stdout);
  return stdout;
}

describe('fcgi2cgi setup', { skip, timeout: 600_000 }, () => {
  for (const [server, user] of [
    ['nginx', ''],
    ['lighttpd', 'daemon'],
  ] as const) {
    const as = user === '' ? '' : `, as ${user}`;
    it(`has ${server} serve Mercurial and git, to those who may${as}, and takes all of it back`, async () => {
      await on(
        server,
        `
listing > before
setup hg --host hg.test --password-file /etc/passwords | tee said
grep '^To let somebody push: htpasswd .*"allow-push = NAME".*"push_ssl = no"' said
setup git --host git.test --password-file /etc/passwords --private
printf 'ann:%s\\n' "$(openssl passwd -apr1 secret)" > /etc/passwords

hg init /srv/hg/one && printf '[web]\\nallow-push = ann\\npush_ssl = no\\n' > /srv/hg/one/.hg/hgrc
git init --quiet --bare /srv/git/one.git && touch /srv/git/one.git/git-daemon-export-ok
chown -R "\${user:-www-data}:" /srv/hg/one /srv/git/one.git && touch /var/www/hg.test/one.hg

hg clone http://hg.test/one.hg hg && touch hg/a && hg --cwd hg commit --addremove --message a
for who in '' '--user ann:wrong'; do
  [ "$(status $who --data '' 'http://hg.test/one.hg?cmd=unbundle')" = 401 ]
  [ "$(status $who 'http://git.test/one.git/info/refs?service=git-upload-pack')" = 401 ]
done
hg --cwd hg push --noninteractive http://ann:secret@hg.test/one.hg

[ "$(status http://git.test/)" = 401 ]
git clone http://ann:secret@git.test/one.git git && git -C git commit --quiet --allow-empty --message a
git -C git push origin HEAD

rm -r /srv/hg/one /srv/git/one.git /var/www/hg.test/one.hg
undo hg --host hg.test
[ "$(status --user ann:secret http://git.test/)" = 404 ]
rm /etc/passwords
touch /var/log/fcgi2cgi.log.1
undo git --host git.test
listing | diff before -
[ ! -e /run/fcgi2cgi ]
`,
        user,
      );
    });
  }

  it('says what is in the way, leaves nothing of what it wrote before that, and writes nothing twice', async () => {
    const said = await on(
      'nginx',
      `
listing > before
echo 'nonsense;' > /etc/nginx/conf.d/own.conf
no setup hg --host hg.test
rm /etc/nginx/conf.d/own.conf
listing | diff before -
mkdir -m 700 /etc/closed
no setup hg --host hg.test --private --password-file /etc/closed/passwords
rmdir /etc/closed
listing | diff before -
setup hg --host hg.test --dry-run
listing | diff before -

"$node" -e 'require("http").createServer((_, response) => response.end("<title>other</title>")).listen(80)' &
other=$!
until curl --silent --output /dev/null http://hg.test/; do sleep 0.1; done
no setup hg --host hg.test
kill $other
setup hg --host hg.test
setup hg --host hg.test | tee again
! grep -E '^(writes|adds)' again
listing > after
server=lighttpd no setup hg --host hg.test
listing | diff after -
no setup git --host git.test --user daemon
printf '[site.own]\\nkind = "hg"\\nrepos = "/missing"\\nlisten = "/run/own"\\n' >> /etc/fcgi2cgi.toml
no setup git --host git.test
`,
    );
    assert.match(said, /^fcgi2cgi: setup: nginx -t -q: .*nonsense.*; what it wrote is gone$/m);
    assert.match(
      said,
      /^fcgi2cgi: setup: --password-file \/etc\/closed\/passwords: .* www-data can't read it; .* is gone$/m,
    );
    assert.match(
      said,
      /^fcgi2cgi: --web-server lighttpd: setup has written hg\.test for nginx; take that back first, .* --undo$/m,
    );
    assert.match(said, /^fcgi2cgi: setup: service nginx start: .*; mend that/m);
    assert.match(
      said,
      /^fcgi2cgi: --user daemon: \/etc\/fcgi2cgi.toml has sites that are served as www-data;/m,
    );
    assert.match(
      said,
      /^fcgi2cgi: setup: \/etc\/fcgi2cgi\.toml:\d+:1: \[site\.own\] repos = .*no such directory/m,
    );
  });
});
