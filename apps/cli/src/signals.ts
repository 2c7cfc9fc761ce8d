/**
 * What each signal means to a running stack: the first press of Ctrl-C stops it in order, the second only says how to end it at once, the
 * third does. One press may come as several signals: the terminal tells the whole group, and npm tells its child once more.
 */

/** Signals no further apart than this are one press. */
const ONE_PRESS_MS = 500;

export type Press = 'stop' | 'same' | 'warn' | 'end';

/** Tells for each signal, by the moment it came (milliseconds of a clock that only goes forward), what it means. */
export function presses(): (at: number) => Press {
  let count = 0;
  let last = -Infinity;
  return (at) => {
    const same = at - last <= ONE_PRESS_MS;
    last = at;
    if (same) return 'same';
    count += 1;
    return count === 1 ? 'stop' : count === 2 ? 'warn' : 'end';
  };
}

/** Resolves at the first press. A third ends this process at once; what it started notices by itself. */
export function untilSignal(): Promise<void> {
  const meaning = presses();
  return new Promise((resolve) => {
    const onSignal = (): void => {
      switch (meaning(performance.now())) {
        case 'stop':
          return resolve();
        case 'warn':
          return console.log('Stopping; press Ctrl-C again to end at once.');
        case 'end':
          return process.exit(1);
        case 'same':
      }
    };
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  });
}
