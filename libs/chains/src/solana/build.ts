/** What a depositor signs: the exact instructions, as a transaction without signatures, and as a link a wallet opens (Solana Pay). */
import { encodeMemo, isSolanaAddress, type DepositTag } from '@isthmus/bridge';
import { createTransferCheckedInstruction, getAssociatedTokenAddressSync } from '@solana/spl-token';
import {
  PublicKey,
  SystemProgram,
  TransactionMessage,
  VersionedTransaction,
  type TransactionInstruction,
} from '@solana/web3.js';
import { isNative, memoInstruction, type VaultAccount } from './programs.js';

export interface DepositRequest {
  /** The depositor's wallet: it signs and pays the fee. */
  sender: string;
  /** Base units. */
  amount: bigint;
  /** AO address. */
  recipient: string;
  tags?: readonly DepositTag[];
}

export interface DepositVault extends VaultAccount {
  decimals: number;
}

const MAX_U64 = 2n ** 64n - 1n;

/**
 * The transfer and its memo, in this order and with nothing between. SOL goes to the vault by a plain transfer.
 * @throws BridgeError `bad-address`, `bad-tags`; RangeError for an amount a transfer cannot carry
 */
export function depositInstructions(vault: DepositVault, request: DepositRequest): TransactionInstruction[] {
  const { sender, amount, recipient, tags } = request;
  if (!isSolanaAddress(sender)) throw new RangeError('The depositor is named by a Solana address.');
  if (amount < 1n || amount > MAX_U64) throw new RangeError('A transfer carries 1 to 2^64 - 1 base units.');
  const from = new PublicKey(sender);
  const to = new PublicKey(vault.address);
  const program = new PublicKey(vault.program);
  const mint = new PublicKey(vault.mint);
  const transfer = isNative(vault)
    ? SystemProgram.transfer({ fromPubkey: from, toPubkey: to, lamports: amount })
    : createTransferCheckedInstruction(
        getAssociatedTokenAddressSync(mint, from, true, program),
        mint,
        to,
        from,
        amount,
        vault.decimals,
        [],
        program,
      );
  return [transfer, memoInstruction(encodeMemo(recipient, tags))];
}

/** The transaction ready to be signed by the depositor, base64. */
export function depositTransaction(vault: DepositVault, request: DepositRequest, blockhash: string): string {
  const message = new TransactionMessage({
    payerKey: new PublicKey(request.sender),
    recentBlockhash: blockhash,
    instructions: depositInstructions(vault, request),
  }).compileToLegacyMessage();
  return Buffer.from(new VersionedTransaction(message).serialize()).toString('base64');
}

/**
 * A Solana Pay transaction request. A transfer request would not do: it can only pay a wallet's own account, and has no place for a memo
 * right behind the transfer. @throws RangeError for an address that wallets do not open
 */
export function payLink(endpoint: URL): string {
  const local = endpoint.hostname === 'localhost' || endpoint.hostname === '127.0.0.1';
  if (endpoint.protocol !== 'https:' && !local) throw new RangeError('Wallets open https links only.');
  return `solana:${endpoint.search === '' ? endpoint.href : encodeURIComponent(endpoint.href)}`;
}
