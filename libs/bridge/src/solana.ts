/** What Solana's side of the bridge is named by, and the memo that says whose a deposit is. */
import { isAoAddress } from './address.js';
import { isBase58 } from './base58.js';
import { BridgeError } from './errors.js';
import { decodeTags, decodeUtf8, encodeTags, type DepositTag } from './tags.js';

/** A memo stands in a transaction of 1,232 bytes, beside two signatures and a transfer. */
export const MAX_MEMO_BYTES = 700;
const PREFIX = 'ao:';

/** CAIP-2 of a cluster, from its genesis hash. @throws BridgeError `bad-reference` */
export function solanaChain(genesisHash: string): string {
  if (!isBase58(genesisHash, 32)) throw new BridgeError('bad-reference', 'A genesis hash is base58 of 32 bytes.');
  return `solana:${genesisHash.slice(0, 32)}`;
}

/** CAIP-19 of a mint; null stands for SOL. @throws BridgeError `bad-address` */
export function solanaAssetId(chain: string, mint: string | null): string {
  if (mint === null) return `${chain}/slip44:501`;
  if (!isSolanaAddress(mint)) throw new BridgeError('bad-address', 'A mint is base58 of 32 bytes.');
  return `${chain}/token:${mint}`;
}

/** The inverse of `solanaAssetId`: the mint an asset's id names, null for SOL; undefined for what is no asset of Solana. */
export function solanaMintOf(id: string): string | null | undefined {
  const chain = id.slice(0, Math.max(id.indexOf('/'), 0));
  if (id === solanaAssetId(chain, null)) return null;
  const mint = id.slice(`${chain}/token:`.length);
  return isSolanaAddress(mint) && id === solanaAssetId(chain, mint) ? mint : undefined;
}

/** Whether `text` is base58 of 32 bytes. */
export function isSolanaAddress(text: unknown): text is string {
  return isBase58(text, 32);
}

/**
 * Keys no transaction may write, so that no payment to them ever succeeds: native programs, precompiles, sysvars and their owners, as
 * anza-xyz/agave names them (reserved-account-keys/src/lib.rs, spelled in sdk-ids), those a feature has still to reserve too.
 */
export const RESERVED_KEYS: readonly string[] = [
  'AddressLookupTab1e1111111111111111111111111',
  'BPFLoader1111111111111111111111111111111111',
  'BPFLoader2111111111111111111111111111111111',
  'BPFLoaderUpgradeab1e11111111111111111111111',
  'ComputeBudget111111111111111111111111111111',
  'Config1111111111111111111111111111111111111',
  'Ed25519SigVerify111111111111111111111111111',
  'Feature111111111111111111111111111111111111',
  'KeccakSecp256k11111111111111111111111111111',
  'LoaderV411111111111111111111111111111111111',
  'NativeLoader1111111111111111111111111111111',
  'Secp256r1SigVerify1111111111111111111111111',
  'Stake11111111111111111111111111111111111111',
  'StakeConfig11111111111111111111111111111111',
  '11111111111111111111111111111111',
  'Sysvar1111111111111111111111111111111111111',
  'Sysvar1nstructions1111111111111111111111111',
  'SysvarC1ock11111111111111111111111111111111',
  'SysvarEpochRewards1111111111111111111111111',
  'SysvarEpochSchedu1e111111111111111111111111',
  'SysvarFees111111111111111111111111111111111',
  'SysvarLastRestartS1ot1111111111111111111111',
  'SysvarRecentB1ockHashes11111111111111111111',
  'SysvarRent111111111111111111111111111111111',
  'SysvarRewards111111111111111111111111111111',
  'SysvarS1otHashes111111111111111111111111111',
  'SysvarS1otHistory11111111111111111111111111',
  'SysvarStakeHistory1111111111111111111111111',
  'Vote111111111111111111111111111111111111111',
  'ZkE1Gama1Proof11111111111111111111111111111',
  'ZkTokenProof1111111111111111111111111111111',
];

/** Where nobody is paid on any cluster: what destroys what it gets, and the programs of tokens and memos. */
export const NOBODYS: readonly string[] = [
  '1nc1nerator11111111111111111111111111111111',
  'ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL',
  'Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo',
  'MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr',
  'TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA',
  'TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb',
];

const UNPAYABLE: ReadonlySet<string> = new Set([...RESERVED_KEYS, ...NOBODYS]);

/** Whether a withdrawal may go there, as far as the key alone says. contracts/ao/token.lua has the same keys. */
export function isSolanaRecipient(text: unknown): text is string {
  return isSolanaAddress(text) && !UNPAYABLE.has(text);
}

/** Whose a deposit is; `tags` null when they break the rules, which never stops the money. */
export interface DepositMemo {
  recipient: string;
  tags: DepositTag[] | null;
}

/** `ao:<recipient>`, then a line for each tag. @throws BridgeError `bad-address`, `bad-tags` */
export function encodeMemo(recipient: string, tags: readonly DepositTag[] = []): Uint8Array {
  if (!isAoAddress(recipient))
    throw new BridgeError(
      'bad-address',
      'An AO recipient is a 43-character Arweave address or a checksummed 0x address.',
    );
  const lines = Buffer.from(encodeTags(tags)).toString('utf8');
  const memo = Buffer.from(`${PREFIX}${recipient}${lines === '' ? '' : `\n${lines}`}`);
  if (memo.length > MAX_MEMO_BYTES)
    throw new BridgeError('bad-tags', `A memo has at most ${MAX_MEMO_BYTES} bytes: use fewer or shorter tags.`);
  return memo;
}

/** Reads a memo; null when it names no AO recipient in the one form there is, or is not UTF-8. */
export function decodeMemo(bytes: Uint8Array): DepositMemo | null {
  const end = bytes.indexOf(10);
  const first = Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('latin1');
  const recipient = first.slice(PREFIX.length);
  if (decodeUtf8(bytes) === null || !first.startsWith(PREFIX) || !isAoAddress(recipient)) return null;
  if (end < 0) return { recipient, tags: [] };
  const rest = bytes.subarray(end + 1);
  return { recipient, tags: rest.length === 0 ? null : decodeTags(rest) };
}
