/** Key files: made at random, readable by their owner alone, never overwritten, never shown. */
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { ed25519Signer } from '@isthmus/ao';
import { writeKeyFile } from '@isthmus/store';
import type { Hex } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { CommandError } from './said.js';

/** Guardians and relayers are Ethereum accounts; the units sign with ed25519, named by their AO address. An operator shows the key itself: it has no address. */
const ADDRESS: Readonly<Record<string, ((key: Hex) => string) | null>> = {
  guardian: (key) => privateKeyToAccount(key).address,
  relayer: (key) => privateKeyToAccount(key).address,
  scheduler: unitAddress,
  messenger: unitAddress,
  operator: null,
};

function unitAddress(key: Hex): string {
  return ed25519Signer(Buffer.from(key.slice(2), 'hex')).address;
}

/** @throws CommandError for an unknown kind, or a file that is there or cannot be made. */
export function keys(kind: string, out: string): void {
  const address = Object.hasOwn(ADDRESS, kind) ? ADDRESS[kind] : undefined;
  if (address === undefined) throw new CommandError(`"${kind}" is no kind of key: ${Object.keys(ADDRESS).join(', ')}.`);
  const key: Hex = `0x${randomBytes(32).toString('hex')}`;
  const file = path.resolve(out);
  try {
    writeKeyFile(file, key);
  } catch (error) {
    const there = (error as NodeJS.ErrnoException).code === 'EEXIST';
    throw new CommandError(
      there
        ? `${file} is there already and keys are never overwritten: choose another name with --out.`
        : `Cannot write ${file}: choose a folder that is there and writable with --out.`,
    );
  }
  console.log([`${kind} key in ${file}`, ...(address ? [`address ${address(key)}`] : [])].join('\n'));
}
