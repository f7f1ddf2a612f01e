/** Makes the way in which the processes of a site's scripts are made. */

import type { Log } from '../observe/log.js';
import type { StartScript } from '../runners/process-runner.js';
import { spawnScript } from '../runners/spawn-script.js';
import { WarmScripts } from '../runners/warm/warm-scripts.js';
import type { ServedSiteConfiguration } from './configuration.js';
import { shippedFile } from './shipped.js';

export interface ScriptStart {
  readonly start: StartScript;
  /** Ends what was kept ready for scripts to come; to be called when all runs have ended. */
  close(): Promise<void>;
}

export function makeStart({ runner, run }: ServedSiteConfiguration, log: Log): ScriptStart {
  if (runner.kind === 'spawn') return { start: spawnScript, close: () => Promise.resolve() };
  return new WarmScripts({
    spawn: spawnScript,
    programs: shippedFile('scripts/warm'),
    maxForkServers: runner.maxForkServers,
    idleTimeoutMs: runner.idleTimeoutMs,
    loadTimeoutMs: run.startTimeoutMs,
    onEvent: (level, fields, message) => {
      log[level](fields, message);
    },
  });
}
