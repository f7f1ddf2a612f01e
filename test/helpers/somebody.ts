/** Params that say who somebody is, in all the ways that programs know. */
export const somebody = {
  REMOTE_USER: 'ann',
  REMOTE_IDENT: 'ann',
  AUTH_TYPE: 'ann',
  AUTH_USER: 'ann',
  HTTP_AUTHORIZATION: 'ann',
  HTTP_REMOTE_USER: 'ann',
  HTTP_X_REMOTE_USER: 'ann',
  HTTP_X_FORWARDED_USER: 'ann',
  SSL_CLIENT_S_DN: 'ann',
  SSL_CLIENT_VERIFY: 'ann',
  LOGNAME: 'ann',
  USER: 'ann',
  EMAIL: 'ann',
} as const;
