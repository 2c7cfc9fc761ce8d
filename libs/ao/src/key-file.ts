/** Keys of units and receipts as the files that `isthmus keys` makes hold them. */
import { readKeyFile } from '@isthmus/store';
import { ed25519Signer } from './items/index.js';
import type { Signer } from './types.js';

/** Signs with ed25519 by a key as it is written in a key file. */
export const signerOfKey = (key: `0x${string}`): Signer => ed25519Signer(Buffer.from(key.slice(2), 'hex'));

/** @throws ConfigError when the file is missing, malformed, or readable by others */
export const signerOfFile = (file: string): Signer => signerOfKey(readKeyFile(file));
