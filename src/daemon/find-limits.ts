/** Finds what sets the limits of a site's processes, before anything depends on it. */

import { OptionError } from '../errors.js';
import { type LimitTool, noLimits, type SetLimits, setLimits } from '../process/limits.js';
import type { ServedSiteConfiguration } from './configuration.js';
import { findProgram } from './find-program.js';
import { baseEnvironment } from './make-site.js';

/** Where each tool is from. */
const tools: Readonly<Record<LimitTool, string>> = {
  prlimit: 'prlimit(1) of util-linux',
  nice: 'nice(1)',
};

/** @throws OptionError `ERR_START` where there are limits, and nothing to set them with. */
export async function findLimits({ limits }: Pick<ServedSiteConfiguration, 'limits'>): Promise<SetLimits> {
  if (Object.values(limits).every((limit) => limit === undefined)) return noLimits;
  return setLimits(limits, async (tool) => {
    try {
      return await findProgram(tool, baseEnvironment([]));
    } catch {
      const ofPrlimit = limits.memoryBytes === undefined ? 'max-cpu' : 'max-memory';
      const option = tool === 'nice' ? 'nice' : ofPrlimit;
      throw new OptionError('ERR_START', { option, why: `needs ${tools[tool]}, which is not in PATH` });
    }
  });
}
