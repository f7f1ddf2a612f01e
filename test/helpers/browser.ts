/** Debian's chromium. */

import { type Browser, chromium } from 'playwright-core';

/** Starts a browser that asks nobody on the network but for the pages it is sent to; whoever starts it closes it. */
export function launchBrowser(): Promise<Browser> {
  return chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}
