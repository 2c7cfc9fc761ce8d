/**
 * Who holds a vault, read from the chain in final state; and the accounts of a relayer that others must find without asking it: each stands
 * at an address that follows from the relayer's and from what it is for, so nobody need be believed.
 */
import { createHash } from 'node:crypto';
import {
  AccountLayout,
  AccountState,
  ACCOUNT_SIZE,
  createInitializeAccount3Instruction,
  createInitializeMultisigInstruction,
  MULTISIG_SIZE,
  MultisigLayout,
  type RawMultisig,
} from '@solana/spl-token';
import {
  NONCE_ACCOUNT_LENGTH,
  PublicKey,
  SystemProgram,
  TransactionMessage,
  VersionedTransaction,
  type TransactionInstruction,
} from '@solana/web3.js';
import type { DepositVault } from './build.js';
import { judgeMint } from './mints.js';
import { isNative, NATIVE, seeded, SYSTEM } from './programs.js';
import type { Custody } from './release.js';
import type { ChainAccount, SolanaPool } from './rpc.js';
import { signPart } from './signatures.js';

/** A vault as it stands on the chain. */
export interface VaultState {
  vault: DepositVault;
  /** Null when it is no multisig that owns it: guardians do not hold it. */
  custody: Custody | null;
  /** What it could pay out, base units: of SOL without the rent that keeps the account. */
  held: bigint;
  /** Lamports that keep an account of SOL; 0 for tokens. */
  rent: bigint;
  /** By the mint's issuer: nothing comes in or goes out. */
  frozen: boolean;
  /** The mint's issuer could freeze it. */
  freezable: boolean;
}

/** A vault that is to be made. */
export interface NewVault {
  multisig: string;
  mint: string;
  /** The token program the mint is of. */
  program: string;
}

/** What stands at a vault's address is none, or holds a token that must not be bridged. */
export class VaultUnfit extends Error {
  constructor(
    readonly code: 'mint-refused' | 'not-a-vault',
    message: string,
  ) {
    super(message);
    this.name = 'VaultUnfit';
  }
}

/** Reads a vault; `mint` null stands for SOL. @throws VaultUnfit, AgreementLost */
export async function readVault(pool: SolanaPool, address: string, mint: string | null): Promise<VaultState> {
  const wanted = mint ?? NATIVE;
  const [account = null, mintAccount = null] = await pool.accounts([address, wanted]);
  const verdict = judgeMint(mintAccount);
  if (!verdict.listable) throw new VaultUnfit('mint-refused', `Mint ${wanted} cannot be bridged. ${verdict.reason}`);
  const vault = { address, mint: wanted, program: verdict.program, decimals: verdict.decimals };
  if (account === null || account.owner !== vault.program || account.data.length < AccountLayout.span)
    throw new VaultUnfit('not-a-vault', `${address} is no token account of mint ${wanted}.`);
  const state = AccountLayout.decode(account.data.subarray(0, AccountLayout.span));
  if (state.mint.toBase58() !== wanted)
    throw new VaultUnfit('not-a-vault', `${address} holds ${state.mint.toBase58()}, not ${wanted}.`);
  // An associated account of Token-2022 has an owner that can never be another: no next set could be given it.
  if (account.data.length !== ACCOUNT_SIZE)
    throw new VaultUnfit(
      'not-a-vault',
      `${address} has account extensions, and may be one that cannot be handed over: make a plain vault of ${ACCOUNT_SIZE} bytes.`,
    );
  // Whoever made it may have kept the right to close it: made anew at its address it would be theirs, and deposits there.
  if (state.closeAuthorityOption !== 0 || state.delegateOption !== 0)
    throw new VaultUnfit(
      'not-a-vault',
      `${address} can be closed, or taken from, by another than its owner: make a vault without delegate and close authority.`,
    );
  const owner = state.owner.toBase58();
  const [multisig = null] = await pool.accounts([owner]);
  const rent = isNative(vault) ? state.isNative : 0n;
  return {
    vault,
    custody: custodyOf(owner, multisig, vault.program),
    held: isNative(vault) ? account.lamports - rent : state.amount,
    rent,
    frozen: (state.state as AccountState) === AccountState.Frozen,
    freezable: verdict.freezable,
  };
}

/** What an SPL multisig says of its signers; null for anything else. */
export function custodyOf(address: string, account: ChainAccount | null, program: string): Custody | null {
  if (account === null || account.owner !== program || account.data.length !== MULTISIG_SIZE) return null;
  const multisig = MultisigLayout.decode(account.data);
  if (!multisig.isInitialized) return null;
  const all = Array.from({ length: multisig.n }, (_, i) => multisig[`signer${i + 1}` as keyof RawMultisig]);
  return { multisig: address, guardians: all.map(String), threshold: multisig.m };
}

/** Where a relayer keeps the nonces of its pool, from 0. */
export function nonceAddress(relayer: string, index: number): string {
  return seeded(relayer, nonceSeed(index), SYSTEM);
}

/** Where a relayer makes the multisig of a set of guardians. */
export function multisigAddress(relayer: string, set: Omit<Custody, 'multisig'>, program: string): string {
  return seeded(relayer, multisigSeed(set), program);
}

/** Makes a nonce of the pool. `lamports` keep the account. */
export function makeNonce(relayer: string, index: number, lamports: number): TransactionInstruction[] {
  const authorizedPubkey = new PublicKey(relayer);
  const noncePubkey = new PublicKey(nonceAddress(relayer, index));
  return [
    ...accountAt(relayer, noncePubkey, nonceSeed(index), { space: NONCE_ACCOUNT_LENGTH, lamports, program: SYSTEM }),
    SystemProgram.nonceInitialize({ noncePubkey, authorizedPubkey }),
  ];
}

/** Makes the multisig of a set of guardians. `lamports` keep the account. */
export function makeMultisig(
  relayer: string,
  set: Omit<Custody, 'multisig'>,
  program: string,
  lamports: number,
): TransactionInstruction[] {
  const address = new PublicKey(multisigAddress(relayer, set, program));
  return [
    ...accountAt(relayer, address, multisigSeed(set), { space: MULTISIG_SIZE, lamports, program }),
    createInitializeMultisigInstruction(
      address,
      set.guardians.map((g) => new PublicKey(g)),
      set.threshold,
      new PublicKey(program),
    ),
  ];
}

/** Where who founds a bridge makes the vault of a mint (`NATIVE` for SOL) for a multisig. */
export function vaultAddress(founder: string, { multisig, mint, program }: NewVault): string {
  return seeded(founder, vaultSeed(multisig, mint), program);
}

/**
 * Makes the vault of a mint for a multisig, at an address of its own: an associated account of Token-2022 could not be handed over. `lamports` keep
 * the account; they come by no transfer, which would be a deposit for nobody. Where somebody has sent lamports before, it cannot be made: another founder can.
 */
export function makeVault(founder: string, vault: NewVault, lamports: number): TransactionInstruction[] {
  const { multisig, mint, program } = vault;
  const address = new PublicKey(vaultAddress(founder, vault));
  return [
    SystemProgram.createAccountWithSeed({
      fromPubkey: new PublicKey(founder),
      newAccountPubkey: address,
      basePubkey: new PublicKey(founder),
      seed: vaultSeed(multisig, mint),
      lamports,
      space: ACCOUNT_SIZE,
      programId: new PublicKey(program),
    }),
    createInitializeAccount3Instruction(address, new PublicKey(mint), new PublicKey(multisig), new PublicKey(program)),
  ];
}

/** A transaction of instructions that only the relayer signs, signed. `seed` is the 32 bytes of its secret key. */
export function signedByRelayer(
  relayer: string,
  seed: Uint8Array,
  instructions: TransactionInstruction[],
  blockhash: string,
): Uint8Array {
  const message = new TransactionMessage({
    payerKey: new PublicKey(relayer),
    recentBlockhash: blockhash,
    instructions,
  }).compileToLegacyMessage();
  const part = signPart(message.serialize(), 0, seed);
  return new VersionedTransaction(message, [Buffer.from(part.slice(4), 'hex')]).serialize();
}

/** Lamports that keep an account of so many bytes: 128 bytes of overhead, at 6,960 each. */
export const rentOf = (bytes: number): number => (128 + bytes) * 6_960;
export const NONCE_RENT = rentOf(NONCE_ACCOUNT_LENGTH);
export const MULTISIG_RENT = rentOf(MULTISIG_SIZE);
export const VAULT_RENT = rentOf(ACCOUNT_SIZE);

const nonceSeed = (index: number): string => `isthmus nonce ${index}`;

function multisigSeed({ guardians, threshold }: Omit<Custody, 'multisig'>): string {
  return createHash('sha256')
    .update(`isthmus multisig ${threshold} ${guardians.join(',')}`)
    .digest('hex')
    .slice(0, 32);
}

const vaultSeed = (multisig: string, mint: string): string =>
  createHash('sha256').update(`isthmus vault ${multisig} ${mint}`).digest('hex').slice(0, 32);

/** In two steps, for an account cannot be created where somebody has sent lamports before. */
function accountAt(
  relayer: string,
  at: PublicKey,
  seed: string,
  { space, lamports, program }: { space: number; lamports: number; program: string },
): TransactionInstruction[] {
  const payer = new PublicKey(relayer);
  const programId = new PublicKey(program);
  return [
    SystemProgram.transfer({ fromPubkey: payer, toPubkey: at, lamports }),
    SystemProgram.allocate({ accountPubkey: at, basePubkey: payer, seed, space, programId }),
  ];
}
