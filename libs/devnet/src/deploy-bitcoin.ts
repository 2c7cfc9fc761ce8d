/** What the local stack needs on Bitcoin: a vault of the guardians' keys with a first coin, from whose change every batch is made. */
import { NETWORKS, vaultKeys, vaultScript, login, type VaultKeys } from '@isthmus/chains';

export interface BitcoinDeployment {
  /** The vault's own address. */
  vault: string;
  /** Block from which on it may have been paid. */
  startHeight: number;
}

export interface BitcoinDeployOptions {
  /** With its login. */
  rpcUrl: string;
  /** Compressed, hex. */
  keys: readonly string[];
  threshold: number;
}

/** In coins: what sweeps and the vault's moves are paid from, and the first batch's anchor. */
const FIRST_COIN = 0.05;

/** The vault of these keys, compressed, in hex. */
export const vaultOf = (keys: readonly string[], threshold: number): VaultKeys =>
  vaultKeys(
    keys.map((key) => Buffer.from(key, 'hex')),
    threshold,
  );

/** Pays the vault its first coin. @throws Error when the node refuses */
export async function deployBitcoin({ rpcUrl, keys, threshold }: BitcoinDeployOptions): Promise<BitcoinDeployment> {
  const { address: vault } = vaultScript(vaultOf(keys, threshold), NETWORKS.regtest);
  const startHeight = (await call<number>(rpcUrl, 'getblockcount')) + 1;
  await call(rpcUrl, 'sendtoaddress', vault, FIRST_COIN);
  return { vault, startHeight };
}

/** Whether the chain is the one this was deployed on: a fresh one ends below. */
export async function hasBitcoin(rpcUrl: string, { startHeight }: BitcoinDeployment): Promise<boolean> {
  return (await call<number>(rpcUrl, 'getblockcount')) >= startHeight - 1;
}

/** One call of the local node. @throws Error with its words */
export async function call<T>(rpcUrl: string, method: string, ...params: unknown[]): Promise<T> {
  const { url, headers } = login(rpcUrl);
  const response = await fetch(url, {
    method: 'POST',
    headers,
    body: JSON.stringify({ id: 1, method, params }),
  });
  const { result, error } = (await response.json()) as { result: T; error: { message: string } | null };
  if (error) throw new Error(`The local Bitcoin refuses ${method}: ${error.message}`);
  return result;
}
