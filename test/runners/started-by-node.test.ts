/** What holds for runs holds for those whose process Node starts. */

import { startBy } from '../helpers/spawn-method.js';

startBy('node');
await import('./process-runner.test.js');
await import('./process-runner-endings.test.js');
await import('./slow-start.test.js');
