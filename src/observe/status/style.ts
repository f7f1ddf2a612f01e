/** How the status page looks, and that nothing but this has a say in that. */

import { createHash } from 'node:crypto';

export const STYLE = `
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --quiet: #666; --alarm: #b00; }
@media (prefers-color-scheme: dark) { :root { --quiet: #a0a0a0; --alarm: #ff7b72; } }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; padding: 0 1rem; max-width: 75rem; }
h1 { font-size: 1.4rem; margin: 0; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .3rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.1rem 0 .2rem; }
p { margin: .2rem 0; }
table { border-collapse: collapse; margin: .4rem 0; }
th, td { text-align: left; vertical-align: top; padding: .15rem 1.2rem .15rem 0; white-space: nowrap; }
th { font-weight: 600; color: var(--quiet); }
tbody tr:nth-child(odd) { background: var(--soft); }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td.w { overflow-wrap: anywhere; white-space: normal; min-width: 10rem; }
.long { max-height: 4.5em; overflow-y: auto; }
ul { padding: 0; list-style: none; }
li { padding: .3rem 0; overflow-wrap: anywhere; border-top: 1px solid var(--soft); }
li div { font-size: .85rem; }
.result { font-weight: 600; }
code { font: 0.9em ui-monospace, monospace; }
.quiet { color: var(--quiet); }
.scroll { overflow-x: auto; }
.sites th { white-space: normal; vertical-align: bottom; }
.graphs { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: .4rem 1.5rem; }
figure { margin: .5rem 0 0; }
figcaption { font-size: .85rem; }
svg { display: block; width: 100%; height: 3.2rem; border-bottom: 1px solid var(--line); background: var(--soft); }
path { vector-effect: non-scaling-stroke; stroke-width: 1.5; }
.area { fill: var(--own); stroke: none; opacity: .45; }
.line { fill: none; stroke: var(--own); }
.calm { --own: #36c; } .queue { --own: #d80; } .bad { --own: #d22; }
.key { color: var(--own); }
@media (prefers-color-scheme: dark) { .calm { --own: #7aa7ff; } .queue { --own: #fb4; } .bad { --own: #ff7b72; } }
.draining, .alarm { color: var(--alarm); font-weight: 600; }
meter { width: 8rem; vertical-align: -.1em; }
@media (max-width: 40rem) { body { margin: 1rem auto; } th, td { padding-right: .7rem; } meter { width: 4rem; }
  .sites th { font-size: .85rem; } .sites th, .sites td { padding-right: .5rem; } .sites td:first-child { min-width: 5rem; white-space: normal; overflow-wrap: anywhere; }
  .sites td .quiet { display: block; } }
`;

/** Nothing is loaded or run, wherever from; the page's own style alone holds. */
export const contentSecurityPolicy = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');
