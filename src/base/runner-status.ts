/** What a runner says of itself, which the status shows unchanged. Times are in milliseconds. */

/** What a runner keeps beside the processes of its runs, and has made since its start. */
export interface RunnerStatus {
  /** For runs, or as workers. */
  readonly processesStarted: number;
  /** Of `--runner warm`. */
  readonly warm?: WarmStatus;
  /** Of a FastCGI application. */
  readonly workers?: WorkersStatus;
}

export interface WarmStatus {
  readonly forkServersStarted: number;
  /** Processes that fork servers have made for runs. */
  readonly forks: number;
  readonly forkServers: readonly {
    readonly script: string;
    readonly pid: number | undefined;
    readonly state: string;
    readonly ageMs: number;
    readonly forks: number;
    /** Of these, by processes in which the script had got ready. */
    readonly prepared: number;
  }[];
}

export interface WorkersStatus {
  /** Workers that have failed, and that have ended otherwise. */
  readonly crashes: number;
  readonly recycles: number;
  readonly running: readonly {
    readonly pid: number;
    readonly state: string;
    readonly ageMs: number;
    readonly requests: number;
  }[];
}

/** A process that runs. Its CPU time has that of its children that have ended and were waited for. */
export interface ProcessUsage {
  readonly pid: number;
  /** What the process is called, or calls itself: text that nobody has checked. */
  readonly command: string;
  readonly cpuMs: number;
  readonly residentBytes: number;
}
