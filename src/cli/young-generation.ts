/**
 * Keeps V8's young generation as small as it is at the start; to be imported before anything else.
 *
 * What is carried from socket to pipe lives for a moment, in pieces of 64 KiB that V8 counts apart from its heap: it
 * looks for those that nobody holds any more when its young generation is full of the small objects that name them, or
 * when they come to 32 MiB. With a young generation that grows to the usual 16 MiB that is as a rule the latter, so that
 * a daemon which holds next to nothing takes 32 MiB more for each direction. With one of 1 MiB it takes a fraction.
 */

import { setFlagsFromString } from 'node:v8';

// Unlike --max-semi-space-size, this is read whenever it would grow, so that no flag of the command line is needed.
setFlagsFromString('--semi-space-growth-factor=1');
