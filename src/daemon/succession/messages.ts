/** What two processes tell each other of which one takes the other's place. */

/** The old one: a connection that has come to its listener of that number comes with it. */
export interface ConnectionMessage {
  readonly kind: 'connection';
  readonly listener: number;
}

/** The new one: it has taken a connection; the old one's logs were moved away; or it is to end soon. */
export interface SuccessorMessage {
  readonly kind: 'taken' | 'reopen' | 'stop';
}

export function isConnectionMessage(message: unknown): message is ConnectionMessage {
  return kindOf(message) === 'connection';
}

export function isSuccessorMessage(message: unknown): message is SuccessorMessage {
  return ['taken', 'reopen', 'stop'].includes(kindOf(message) as string);
}

function kindOf(message: unknown): unknown {
  return typeof message === 'object' && message !== null && 'kind' in message ? message.kind : undefined;
}
