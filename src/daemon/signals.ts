/** What signals mean to the daemon. */

/**
 * Resolves with the first of `signals`, SIGTERM or SIGINT; from then on a further one calls `again`. `dispose` gives the signals back
 * their default meaning.
 */
export function stopSignal(
  again: (signal: NodeJS.Signals) => void,
  signals: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT'],
): {
  readonly received: Promise<NodeJS.Signals>;
  dispose(): void;
} {
  let onSignal: (signal: NodeJS.Signals) => void = () => undefined;
  const received = new Promise<NodeJS.Signals>((resolve) => {
    let stopping = false;
    onSignal = (signal) => {
      if (stopping) again(signal);
      stopping = true;
      resolve(signal);
    };
    for (const signal of signals) process.on(signal, onSignal);
  });
  return {
    received,
    dispose: () => {
      for (const signal of signals) process.off(signal, onSignal);
    },
  };
}

/**
 * Calls `reopen` at each of `signals`, SIGHUP and SIGUSR1, as those who rotate logs send them. Node would end at the one, and open its
 * debugger to the whole machine at the other. `dispose` gives the signals back that meaning.
 */
export function reopenSignals(
  reopen: () => void,
  signals: readonly NodeJS.Signals[] = ['SIGHUP', 'SIGUSR1'],
): { dispose(): void } {
  for (const signal of signals) process.on(signal, reopen);
  return {
    dispose: () => {
      for (const signal of signals) process.off(signal, reopen);
    },
  };
}
