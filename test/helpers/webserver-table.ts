/** The web servers that are tested: a row for each. How it is run is told by scripts/webservers/run. */

/** What differs between web servers besides how they are started. */
interface Row {
  /** The least settings that pass every request to the bridge at the socket of this path. */
  readonly passing: (socket: string) => string;
  /** The line that its file of users has for somebody whose password is `secret`. */
  readonly user: (name: string) => string;
}

/** As `openssl passwd -apr1 secret` makes it. */
const apr1 = (name: string): string => `${name}:$apr1$saltsalt$LrttParrLPdxvgutaSXWJ0`;

export const webServers = {
  lighttpd: {
    passing: (socket) =>
      `server.modules += ( "mod_fastcgi" )
fastcgi.server = ( "/" => (( "socket" => "${socket}", "check-local" => "disable" )) )`,
    user: apr1,
  },
  nginx: {
    // Passes requests on as they come, instead of taking their bodies in first.
    passing: (socket) =>
      nginxServer(`client_max_body_size 0;
    location / {
      include fastcgi_params;
      fastcgi_pass unix:${socket};
      fastcgi_request_buffering off;
    }`),
    user: apr1,
  },
  apache: {
    passing: (socket) => `ProxyPass "/" "unix:${socket}|fcgi://localhost/"`,
    user: apr1,
  },
} as const satisfies Readonly<Record<string, Row>>;

export type WebServerName = keyof typeof webServers;

export const webServerNames = Object.keys(webServers) as WebServerName[];

/** What nginx says of one site, the others' settings being for all of them. */
export function nginxServer(directives: string): string {
  return `server {
    listen 80;
    ${directives}
}`;
}
