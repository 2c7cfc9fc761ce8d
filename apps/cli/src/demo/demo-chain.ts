/** What the demo does on a home chain: pays in, and sees what somebody was paid out. */
import type { AssetAnswer } from '../gateway-client.js';

export interface DemoChain {
  /** As people read it. */
  name: string;
  /** Of this asset: how much goes to AO, and how much of it back; in units people write. */
  amounts(asset: AssetAnswer): { there: string; back: string };
  /** Pays in for an AO recipient; gives the transaction as the chain writes it. @throws Error when the chain refuses */
  deposit(asset: AssetAnswer, amount: bigint, recipient: string): Promise<string>;
  /** Where Bob is paid. */
  payee: string;
  /** What Bob has there, base units. */
  paid(asset: AssetAnswer): Promise<bigint>;
}

/** Travels along with each deposit. */
export const DEMO_TAGS = [{ name: 'X-Demo', value: 'there and back' }];
