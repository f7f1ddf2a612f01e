/** What signals mean to the daemon. */

/**
 * Resolves with the first of `signals`, SIGTERM or SIGINT; from then on a further one calls `again`. `dispose` gives the signals back
 * their default meaning. `order` is SIGTERM in the words of another process: since Ctrl-C reaches both, an order after a
 * signal, or a signal after an order, is no further one.
 */
export function stopSignal(
  again: (signal: NodeJS.Signals) => void,
  signals: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT'],
): {
  readonly received: Promise<NodeJS.Signals>;
  readonly order: () => void;
  dispose(): void;
} {
  let resolve: (signal: NodeJS.Signals) => void = () => undefined;
  const received = new Promise<NodeJS.Signals>((settle) => {
    resolve = settle;
  });
  const heard = (): ((signal: NodeJS.Signals) => void) => {
    let isFurther = false;
    return (signal) => {
      if (isFurther) again(signal);
      isFurther = true;
      resolve(signal);
    };
  };
  const [onSignal, onOrder] = [heard(), heard()];
  return {
    ...onSignals(signals, onSignal),
    received,
    order: () => {
      onOrder('SIGTERM');
    },
  };
}

/**
 * Calls `on` at each of `signals`, none of which ends the process then. Node would end at SIGHUP, and open its debugger to
 * the whole machine at SIGUSR1. `dispose` gives the signals back that meaning.
 */
export function onSignals(
  signals: readonly NodeJS.Signals[],
  on: (signal: NodeJS.Signals) => void,
): { dispose(): void } {
  for (const signal of signals) process.on(signal, on);
  return {
    dispose: () => {
      for (const signal of signals) process.off(signal, on);
    },
  };
}
