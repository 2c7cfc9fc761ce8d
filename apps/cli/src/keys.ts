/** Key files: made at random, readable by their owner alone, never overwritten, never shown. */
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { keyIdOf, signerOfKey } from '@isthmus/ao';
import { publicKeyOf as bitcoinKeyOf, solana } from '@isthmus/chains';
import { writeKeyFile } from '@isthmus/store';
import type { Hex } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { CommandError } from './said.js';

/**
 * What of a key is shown. Guardians and relayers are Ethereum accounts; the units sign with ed25519, named by their AO address, receipts by the
 * public key itself. `bitcoin` and `solana` are keys of a guardian on its home chains (`solana` of a relayer, too). An operator shows the key: nothing of it is public.
 */
const SHOWN: Readonly<Record<string, ((key: Hex) => string) | null>> = {
  guardian: accountAddress,
  relayer: accountAddress,
  scheduler: unitAddress,
  messenger: unitAddress,
  registrar: unitAddress,
  bitcoin: (key) => `public key ${bitcoinKeyOf(bytesOf(key))}`,
  solana: (key) => `address ${solana.publicKeyOf(bytesOf(key))}`,
  receipt: (key) => `public key ${keyIdOf(signerOfKey(key))}`,
  operator: null,
};

const bytesOf = (key: Hex): Buffer => Buffer.from(key.slice(2), 'hex');

function accountAddress(key: Hex): string {
  return `address ${privateKeyToAccount(key).address}`;
}

function unitAddress(key: Hex): string {
  return `address ${signerOfKey(key).address}`;
}

/** @throws CommandError for an unknown kind, or a file that is there or cannot be made. */
export function keys(kind: string, out: string): void {
  const shown = Object.hasOwn(SHOWN, kind) ? SHOWN[kind] : undefined;
  if (shown === undefined) throw new CommandError(`"${kind}" is no kind of key: ${Object.keys(SHOWN).join(', ')}.`);
  const { file, key } = newKeyFile(out);
  console.log([`${kind} key in ${file}`, ...(shown ? [shown(key)] : [])].join('\n'));
}

/** Makes a key at random and its file. @throws CommandError for a file that is there or cannot be made */
export function newKeyFile(out: string): { file: string; key: Hex } {
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
  return { file, key };
}
