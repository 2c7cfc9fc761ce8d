/** Blocks by the clock, whenever one is due. */

/** Mines every so many milliseconds when it is due; one block at a time, however long it takes. */
export function mineByClock(
  blockMs: number,
  due: (idleMs: number) => boolean,
  mine: () => Promise<unknown>,
): { stop(): Promise<void> } {
  let mining: Promise<unknown> | null = null;
  let minedAt = performance.now();
  const tick = async (): Promise<void> => {
    if (!due(performance.now() - minedAt)) return;
    await mine();
    minedAt = performance.now();
  };
  const timer = setInterval(() => {
    mining ??= tick()
      .catch((error: unknown) => process.emitWarning(`No block was mined: ${String(error)}`))
      .finally(() => (mining = null));
  }, blockMs);
  return {
    stop: async () => {
      clearInterval(timer);
      await mining;
    },
  };
}
