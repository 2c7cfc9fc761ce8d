/** What Bitcoin Core answers for a loaded wallet, as far as a purse for development goes: it pays. */
import { CODE, CoreError } from './core-error.js';
import { scriptOf } from './curve.js';
import type { Method } from './methods.js';
import type { Purse } from './purse.js';

/** Rewards tried in a row: after a restart some are spent by what still waits. */
const TRIES = 20;
const COIN = 100_000_000;

/** Methods of a node whose wallet is this purse. */
export function walletMethods(purse: Purse): Readonly<Record<string, Method>> {
  return {
    sendtoaddress: async (node, [address, amount]) => {
      const script = payable(address);
      const value = satoshis(amount);
      for (let left = TRIES; ; left -= 1) {
        const hex = await purse.pay(node, [{ script, value }]).catch((error: unknown) => {
          throw new CoreError(CODE.insufficientFunds, error instanceof Error ? error.message : 'Insufficient funds');
        });
        try {
          return await node.send(hex);
        } catch (error) {
          if (left === 1 || !(error instanceof CoreError)) throw error;
        }
      }
    },
  };
}

function payable(address: unknown): Uint8Array {
  try {
    return scriptOf(String(address));
  } catch {
    throw new CoreError(CODE.invalidAddressOrKey, 'Invalid address');
  }
}

/** Coins as Core takes them, a number or its text, with at most eight places. */
function satoshis(amount: unknown): bigint {
  const text = typeof amount === 'number' ? amount.toFixed(8) : amount;
  if (typeof text !== 'string' || !/^[0-9]{1,8}(\.[0-9]{1,8})?$/.test(text))
    throw new CoreError(CODE.type, 'Invalid amount');
  const [whole = '0', places = ''] = text.split('.');
  const value = BigInt(whole) * BigInt(COIN) + BigInt(places.padEnd(8, '0'));
  if (value === 0n) throw new CoreError(CODE.type, 'Invalid amount for send');
  return value;
}
