/** The web servers that are tested: a row for each. How it is run is told by scripts/webservers/run. */

/** What differs between web servers besides how they are started. */
interface Row {
  /** Its program and Debian's package of it. */
  readonly program: readonly [string, string];
  /** The least settings that pass every request to the bridge at the socket of this path, or at this HOST:PORT. */
  readonly passing: (address: string) => string;
  /** It speaks to the bridge over TCP, and not through a Unix socket. */
  readonly isOverTcp?: true;
  /** The line that its file of users has for somebody whose password is `secret`. */
  readonly user: (name: string) => string;
  /** When it tells the bridge that a reader has left, even before any of the answer has come to it. */
  readonly tellsOfReader: 'at once' | 'when more is written';
  /** What the bridge gets of a body: what has come so far, or nothing until all of it has. */
  readonly passesBodies: 'as they come' | 'when complete';
  /** Cases of test/e2e/web-server-cases.ts that fail with it, by their titles, and what shows it. */
  readonly cannot: Readonly<Record<string, RegExp>>;
}

/** As `openssl passwd -apr1 secret` makes it. */
const apr1 = (name: string): string => `${name}:$apr1$saltsalt$LrttParrLPdxvgutaSXWJ0`;

const rows = {
  lighttpd: {
    program: ['lighttpd', 'lighttpd'],
    passing: (socket) =>
      `server.modules += ( "mod_fastcgi" )
fastcgi.server = ( "/" => (( "socket" => "${socket}", "check-local" => "disable" )) )`,
    user: apr1,
    tellsOfReader: 'when more is written',
    passesBodies: 'when complete',
    cannot: {},
  },
  nginx: {
    program: ['nginx', 'nginx-light'],
    // Passes requests on as they come, instead of taking their bodies in first.
    passing: (socket) =>
      nginxServer(`client_max_body_size 0;
    location / {
      include fastcgi_params;
      fastcgi_pass unix:${socket};
      fastcgi_request_buffering off;
    }`),
    user: apr1,
    tellsOfReader: 'at once',
    passesBodies: 'when complete',
    cannot: {},
  },
  apache: {
    program: ['apache2', 'apache2-bin'],
    passing: (socket) => `ProxyPass "/" "unix:${socket}|fcgi://localhost/"`,
    user: apr1,
    tellsOfReader: 'when more is written',
    passesBodies: 'as they come',
    cannot: {},
  },
  'apache-tcp': {
    program: ['apache2', 'apache2-bin'],
    passing: (address) => `ProxyPass "/" "fcgi://${address}/"`,
    isOverTcp: true,
    user: apr1,
    tellsOfReader: 'when more is written',
    passesBodies: 'as they come',
    cannot: {},
  },
  caddy: {
    program: ['caddy', 'caddy'],
    passing: (socket) => `http://own.example.org {
      reverse_proxy unix/${socket} {
        transport fastcgi
      }
    }`,
    user: (name) => `${name} $2a$04$68XR.ISPnnU1pkIn76DG2e50QgFNx9Q5R4Ijg7mnoCTA6EU7fpiJS`,
    tellsOfReader: 'when more is written',
    passesBodies: 'as they come',
    cannot: {},
  },
  h2o: {
    program: ['h2o', 'h2o'],
    passing: (socket) => `hosts:
  default:
    listen: 80
    paths:
      "/":
        fastcgi.connect:
          type: unix
          port: ${socket}`,
    user: (name) => `${name}:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=`,
    tellsOfReader: 'when more is written',
    passesBodies: 'when complete',
    cannot: {},
  },
  haproxy: {
    program: ['haproxy', 'haproxy'],
    passing: (socket) => `defaults
  mode http
  timeout client 1m
  timeout connect 5s
  timeout server 1m
frontend all
  bind :80
  default_backend bridge
backend bridge
  use-fcgi-app bridge
  server bridge unix@${socket} proto fcgi
fcgi-app bridge
  docroot /nowhere`,
    user: (name) =>
      `user ${name} password $6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1`,
    tellsOfReader: 'when more is written',
    passesBodies: 'as they come',
    cannot: {
      'take git pushes of more than http.postBuffer, 1 MiB': /RPC failed/,
      'carry many megabytes up in chunks, without a length': /EPIPE|ECONNRESET|400/,
    },
  },
} as const satisfies Readonly<Record<string, Row>>;

export type WebServerName = keyof typeof rows;

export const webServers: Readonly<Record<WebServerName, Row>> = rows;

export const webServerNames = Object.keys(webServers) as WebServerName[];

/** Whether each case runs with each web server (`scripts/test --full`), and not only with one of those that show the same. */
export const isFull = process.env['FCGI2CGI_TEST'] === 'full';

/** What nginx says of one site, the others' settings being for all of them. */
export function nginxServer(directives: string): string {
  return `server {
    listen 80;
    ${directives}
}`;
}

/** What nginx says to pass requests at `/kept` on by connections that it keeps, and those at `/new` by new ones. */
export function keepingServer(socket: string): string {
  return `upstream bridge { server unix:${socket}; keepalive 8; }
${nginxServer(`
    location /kept { include fastcgi_params; fastcgi_keep_conn on; fastcgi_pass bridge; }
    location /new { include fastcgi_params; fastcgi_pass unix:${socket}; }`)}`;
}
