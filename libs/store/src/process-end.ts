/** How our processes end: in order when they are told to, or when whoever supervises them is gone; in words when something fails. */
import { plainMessage } from './data-source.js';

/** Stops once, at SIGTERM, SIGINT, or the end of the supervisor, and exits: with 0 when that went well. */
export function endWhenTold(stop: () => Promise<void>): void {
  let told = false;
  const end = (): void => {
    if (told) return;
    told = true;
    void stop().then(() => process.exit(0), exitFailed);
  };
  process.on('SIGTERM', end);
  process.on('SIGINT', end);
  // A supervisor that dies, however it dies, closes this pipe: nobody is left behind.
  if (process.env['ISTHMUS_SUPERVISED'] === '1') process.stdin.resume().on('end', end);
}

/** Says why and exits with 1. */
export function exitFailed(error: unknown): never {
  console.error(plainMessage(error) ?? error);
  process.exit(1);
}
