/** `isthmus ao whoami`: the AO address of a key, without asking anyone. */
import { clientOf, print, signerFor } from './context.js';
import type { Signed } from './options.js';

/** @throws CommandError when the key cannot be read */
export function whoami(options: Pick<Signed, 'gateway' | 'json' | 'key' | 'keyType'>): void {
  const { address } = signerFor(clientOf(options), options);
  print(options.json, { address }, () => address);
}
