/** Why a request is to be run otherwise than by the fork server that was asked. */
export class NotForked extends Error {
  /** What was loaded is `stale`, this process was `refused`, or the fork server is `gone` for good. */
  readonly why: 'stale' | 'refused' | 'gone';

  constructor(why: NotForked['why'], message: string) {
    super(message);
    this.name = 'NotForked';
    this.why = why;
  }
}
