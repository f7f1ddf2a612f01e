/** What holds for processes holds for those that Node starts. */

import { startBy } from '../helpers/spawn-method.js';

startBy('node');
await import('./child-process.test.js');
await import('./command.test.js');
await import('./environment.test.js');
