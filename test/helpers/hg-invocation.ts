/** A site of Mercurial repositories and what it would run, without running it. */

import { hgSite, type HgSiteOptions } from '../../src/sites/hg/hg-site.js';
import { resolveRequest, type Site } from '../../src/sites/site.js';

type Params = Readonly<Record<string, string>>;

/** What hgweb would be run for: its arguments, SCRIPT_NAME and PATH_INFO, and its input for an index. */
export interface HgInvocation {
  readonly what: string;
  readonly args: readonly string[];
  readonly scriptName: string | undefined;
  readonly pathInfo: string | undefined;
  readonly input: string | undefined;
  readonly body: 'as-it-comes' | 'with-length' | undefined;
  readonly variables: Params;
  readonly directory: string;
}

/** A site made of these options. */
export function makeSite(options: Partial<HgSiteOptions> & { repos: string }): Promise<Site> {
  return hgSite({
    urlPrefix: '',
    trustRemoteUser: false,
    mercurial: { python: '/usr/bin/python3', modules: '/usr/lib/mercurial' },
    hgwebScript: '/lib/hgweb.cgi',
    base: new Map([['PATH', '/bin']]),
    administrator: new Map(),
    ...options,
  });
}

/** Asks a site made of these options; a refusal is given as its status and its detail or reason. */
export async function askSite(
  options: Partial<HgSiteOptions> & { repos: string },
  params: Params,
): Promise<HgInvocation | string> {
  const site = await makeSite(options);
  const resolution = await resolveRequest(site, Object.entries({ REQUEST_METHOD: 'GET', ...params }));
  if (resolution.kind === 'refuse') {
    const { status, reason, detail } = resolution.refusal;
    return `${String(status)} ${detail ?? reason}`;
  }
  if (resolution.kind !== 'run') throw new Error('a document of the site’s own');
  const { file, args, directory, input, body } = resolution.invocation;
  const variables = Object.fromEntries(resolution.invocation.variables);
  const [script, what = '', ...rest] = args;
  if (file !== '/usr/bin/python3' || script !== '/lib/hgweb.cgi') throw new Error(`it would run ${file}`);
  if (resolution.invocation.script !== script) throw new Error('nobody could see what runs');
  return {
    what,
    args: rest,
    scriptName: variables['SCRIPT_NAME'],
    pathInfo: variables['PATH_INFO'],
    input: input?.toString('latin1'),
    body,
    variables,
    directory,
  };
}
