/** What the daemon does when it is told to stop. */

/**
 * Resolves with the first SIGTERM or SIGINT; from then on a further one calls `again`. `dispose` gives the signals back
 * their default meaning.
 */
export function stopSignal(again: () => void): {
  readonly received: Promise<NodeJS.Signals>;
  dispose(): void;
} {
  const signals = ['SIGTERM', 'SIGINT'] as const;
  let onSignal: (signal: NodeJS.Signals) => void = () => undefined;
  const received = new Promise<NodeJS.Signals>((resolve) => {
    let stopping = false;
    onSignal = (signal) => {
      if (stopping) again();
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
