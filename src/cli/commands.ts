/** The commands, in the order of `--help`: what each takes, and what runs it. */

import {
  completionOptions,
  daemonOptions,
  explainOptions,
  getOptions,
  rcOptions,
  serveOptions,
  setupOptions,
  statusOptions,
  upgradeOptions,
  verifyOptions,
} from './options/command-options.js';
import { siteKindNames, siteKinds, type SiteKindName } from './options/site-kinds.js';
import { type Given, type Option, optional, type OptionTable, rowsOf } from './options/option.js';
import { oneOf } from './options/parsers.js';
import { siteOptions } from './options/site-options.js';

/** Does what a command says; `words` are what follows after `--`. Resolves to the exit status, if that is not 0. */
export type Run = (given: Given, words: readonly string[]) => Promise<number | undefined>;

export interface Command {
  readonly usage: string;
  readonly description: string;
  /** Command lines without the program's name, of 69 characters at most. */
  readonly examples: readonly string[];
  readonly own: readonly Option<unknown>[];
  /** Options that it shares with other commands, each under its heading of the help. */
  readonly shared?: readonly Option<unknown>[];
  readonly takesWords?: boolean;
  /** What only one command needs is loaded when that runs: the daemon is to start at once. */
  readonly load: () => Promise<Run>;
}

const common = rowsOf({ siteOptions, daemonOptions });

function siteCommand(
  kind: SiteKindName,
  usage: string,
  description: string,
  examples: readonly string[],
): Command {
  return {
    usage,
    description,
    examples,
    own: rowsOf(siteKinds[kind]).filter(({ name }) => name !== 'command'),
    shared: common,
    takesWords: kind === 'script' || kind === 'worker',
    load: async () => {
      const { serveSite } = await import('./serve/serve.js');
      return (given, words) => serveSite(kind, given, words);
    },
  };
}

/** A command that is told of a site, by a file or as the site's own command is, and serves nothing. */
function aboutSite(
  command: Pick<Command, 'usage' | 'description' | 'examples' | 'load'>,
  table: OptionTable,
  kinds: readonly SiteKindName[],
): Command {
  const ofKinds = siteKindNames.flatMap((kind) => rowsOf(siteKinds[kind])).map(unsaid);
  const siteCommandName = optional(
    '',
    'site-command',
    oneOf(...kinds),
    'The command that would serve the site, with its options',
  );
  return {
    ...command,
    own: [
      ...rowsOf(table),
      { ...siteCommandName, isArgument: true },
      ...ofKinds.filter(({ name }) => name === 'file' || name === 'argument'),
    ],
    shared: [...common, ...ofKinds.filter(({ name }) => name !== 'file' && name !== 'argument')].map(
      (row) => ({
        ...row,
        group: 'Describing',
        isArgument: false,
      }),
    ),
    takesWords: true,
  };
}

/** An option whose command may be another one: it is not required, and the help does not say what it is by default. */
function unsaid(row: Option<unknown>): Option<unknown> {
  return { ...row, isRequired: false, shownDefault: row.shownDefault ?? '' };
}

export const commands: readonly Command[] = [
  siteCommand('hg', 'hg', 'Serve a directory of Mercurial repositories', [
    'hg --repos /srv/hg --listen /run/hg.sock --user www-data',
    'hg --repos /srv/hg --markers /var/www/hg --listen 127.0.0.1:9000',
    'hg --repos /srv/hg --listen /run/hg.sock --runner warm',
  ]),
  siteCommand('git', 'git', 'Serve a directory of git repositories', [
    'git --repos /srv/git --listen /run/git.sock --user www-data',
    'git --repos /srv/git --export-all --url-prefix /git --listen /run/git',
    'git --repos /srv/git --trust-remote-user --listen 127.0.0.1:9000',
  ]),
  siteCommand('script', 'script <file> [argument..]', 'Run one CGI script for every request', [
    'script /usr/lib/cgi-bin/cgit.cgi --listen /run/cgit.sock',
    'script /srv/hello.sh --listen 127.0.0.1:9000 --max-time 30s',
    'script /srv/hello.py --listen /run/hello.sock -- --option value',
  ]),
  siteCommand('dir', 'dir', 'Run the script that the web server names, if it lies inside a directory', [
    'dir --root /usr/lib/cgi-bin --listen /run/fcgiwrap.socket',
    'dir --root /srv/a --root /srv/b --listen 127.0.0.1:9000',
    'dir --root /usr/lib/cgi-bin --listen systemd',
  ]),
  siteCommand('worker', 'worker', 'Supervise a FastCGI application, given after --', [
    'worker --listen /run/gitweb -- /usr/lib/cgi-bin/gitweb.cgi --fcgi',
    'worker --workers 8 --listen 127.0.0.1:9000 -- /srv/app',
    'worker -- /usr/lib/cgi-bin/gitweb.cgi --fcgi',
  ]),
  {
    usage: 'serve',
    description: 'Serve the sites of a configuration file',
    examples: [
      'serve --config /etc/fcgi2cgi.toml',
      'serve --config /etc/fcgi2cgi.toml --check',
      'serve --config sites.toml --log-level debug',
    ],
    own: rowsOf(serveOptions),
    shared: rowsOf(daemonOptions).map((row) => ({ ...unsaid(row), group: 'Overriding' })),
    load: async () => (await import('./serve/serve.js')).serveFile,
  },
  {
    usage: 'upgrade <pid-file>',
    description:
      'Have the program as it is installed now take the place of a daemon that runs, which loses no request',
    examples: [
      'upgrade /run/fcgi2cgi.pid',
      'upgrade /var/run/fcgi2cgi/hg.pid',
      'upgrade "$XDG_RUNTIME_DIR/fcgi2cgi.pid"',
    ],
    own: rowsOf(upgradeOptions),
    load: async () => (await import('./upgrade/upgrade.js')).upgrade,
  },
  {
    usage: 'get <address> <path>',
    description: 'Send a request to a FastCGI application, as a web server would',
    examples: [
      'get /run/hg.sock /project',
      "get 127.0.0.1:9000 '/cgi-bin/hello?name=x' --include",
      'get /run/hg.sock / --repeat 100 --keep --timings',
    ],
    own: rowsOf(getOptions),
    load: async () => (await import('./get/get.js')).runGet,
  },
  {
    usage: 'status <address>',
    description: 'Say what a daemon is doing, or end one of its requests',
    examples: [
      'status /run/fcgi2cgi/control',
      'status /run/fcgi2cgi/control --json',
      'status /run/fcgi2cgi/control --cancel 1b4f0e98-7',
    ],
    own: rowsOf(statusOptions),
    load: async () => (await import('./status/control-request.js')).runStatus,
  },
  aboutSite(
    {
      usage: 'explain [site-command] [file] [argument..]',
      description: 'Say what a site would run for the path that comes last, after --',
      examples: [
        'explain hg --repos /srv/hg -- /project',
        'explain --config /etc/fcgi2cgi.toml --site hg -- /project',
        "explain git --repos /srv/git --json -- '/a.git/?a=log'",
      ],
      load: async () => (await import('./explain/explain.js')).runExplain,
    },
    explainOptions,
    siteKindNames,
  ),
  aboutSite(
    {
      usage: 'verify [site-command] [file] [argument..]',
      description: 'Compare what --runner spawn and warm answer to the paths that come last, after --',
      examples: [
        'verify hg --repos /srv/hg -- / /project',
        'verify script /srv/hello.py --repeat 10 -- /',
        'verify --config sites.toml --site hg --requests access.log',
      ],
      load: async () => (await import('./verify/verify.js')).runVerify,
    },
    verifyOptions,
    siteKindNames.filter((kind) => kind !== 'worker'),
  ),
  {
    usage: 'setup <kind>',
    description:
      'Set a site up, as root: configuration, directories, service and web server; then fetch a page',
    examples: [
      'setup hg --host hg.example.org --dry-run',
      'setup git --host git.example.org --web-server nginx',
      'setup hg --host hg.example.org --undo',
    ],
    own: rowsOf(setupOptions),
    load: async () => (await import('./setup/setup.js')).runSetup,
  },
  {
    usage: 'rc [system]',
    description: 'Print the script by which the system starts fcgi2cgi',
    examples: ['rc', 'rc systemd --user www-data', 'rc openbsd > /etc/rc.d/fcgi2cgi'],
    own: rowsOf(rcOptions),
    load: async () => (await import('./rc/rc.js')).runRc,
  },
  {
    usage: 'completion <shell>',
    description: 'Print the script by which a shell completes commands and options',
    examples: [
      'completion bash > /etc/bash_completion.d/fcgi2cgi',
      'completion zsh > "${fpath[1]}/_fcgi2cgi"',
      'completion fish > ~/.config/fish/completions/fcgi2cgi.fish',
    ],
    own: rowsOf(completionOptions),
    load: async () => (await import('./completion.js')).runCompletion,
  },
];
