/** What the local stack needs on Solana: the guardians' multisig, a vault of SOL and one of a dollar to play with. The relayer's nonces are the gateway's to make. */
import { solana } from '@isthmus/chains';
import {
  createAssociatedTokenAccountIdempotentInstruction,
  createInitializeMint2Instruction,
  createMintToInstruction,
  getAssociatedTokenAddressSync,
  MINT_SIZE,
  TOKEN_PROGRAM_ID,
} from '@solana/spl-token';
import {
  Connection,
  Keypair,
  LAMPORTS_PER_SOL,
  PublicKey,
  SystemProgram,
  Transaction,
  type TransactionInstruction,
} from '@solana/web3.js';
import { devWallet } from './accounts.js';

export interface SolanaDeployment {
  genesisHash: string;
  multisig: string;
  /** Token accounts that hold SOL and the dollar. */
  vaults: { sol: string; dollar: string };
  mint: string;
  /** The relayer's address. */
  relayer: string;
}

export interface SolanaDeployOptions {
  rpcUrl: string;
  /** Guardians' keys, base58, in the multisig's order. */
  keys: readonly string[];
  threshold: number;
  /** Address of the relayer. */
  relayer: string;
}

export const SOLANA_DOLLAR_DECIMALS = 6;
const GIFT = 1_000 * LAMPORTS_PER_SOL;
const DOLLARS = 1_000_000n * 10n ** 6n;
/** Wallets that begin with something. */
const WALLETS = [0, 1, 2];

/** @throws Error when the chain refuses */
export async function deploySolana(options: SolanaDeployOptions): Promise<SolanaDeployment> {
  const { rpcUrl, keys, threshold } = options;
  const deployer = new Deployer(new Connection(rpcUrl, { commitment: 'processed' }), Keypair.generate());
  const relayer = new PublicKey(options.relayer);
  const wallets = WALLETS.map((i) => devWallet(i).publicKey);
  for (const key of [deployer.address, relayer, ...wallets]) await deployer.gift(key);
  const founder = deployer.address.toBase58();
  const set = { guardians: keys, threshold };
  await deployer.run(solana.makeMultisig(founder, set, solana.TOKEN, solana.MULTISIG_RENT));
  const multisig = solana.multisigAddress(founder, set, solana.TOKEN);
  const mint = await deployer.make(MINT_SIZE, TOKEN_PROGRAM_ID, (at) =>
    createInitializeMint2Instruction(at, SOLANA_DOLLAR_DECIMALS, deployer.address, null),
  );
  const vaultOf = async (asset: string): Promise<string> => {
    const vault = { multisig, mint: asset, program: solana.TOKEN };
    await deployer.run(solana.makeVault(founder, vault, solana.VAULT_RENT));
    return solana.vaultAddress(founder, vault);
  };
  const vaults = { sol: await vaultOf(solana.NATIVE), dollar: await vaultOf(mint.toBase58()) };
  for (const wallet of [...wallets, relayer]) await deployer.give(mint, wallet);
  return {
    genesisHash: await deployer.connection.getGenesisHash(),
    multisig,
    vaults,
    mint: mint.toBase58(),
    relayer: options.relayer,
  };
}

/** Whether the chain still has the vault. */
export async function hasSolana(rpcUrl: string, { vaults }: SolanaDeployment): Promise<boolean> {
  return (await new Connection(rpcUrl, 'processed').getAccountInfo(new PublicKey(vaults.sol))) !== null;
}

class Deployer {
  constructor(
    readonly connection: Connection,
    private readonly key: Keypair,
  ) {}

  get address(): PublicKey {
    return this.key.publicKey;
  }

  async gift(to: PublicKey): Promise<void> {
    await this.connection.requestAirdrop(to, GIFT);
  }

  /** A new account of a program, with its first instruction. */
  async make(space: number, program: PublicKey, first: (at: PublicKey) => TransactionInstruction): Promise<PublicKey> {
    const account = Keypair.generate();
    const { publicKey } = account;
    const made = SystemProgram.createAccount({
      fromPubkey: this.address,
      newAccountPubkey: publicKey,
      space,
      lamports: await this.connection.getMinimumBalanceForRentExemption(space),
      programId: program,
    });
    await this.run([made, first(publicKey)], [account]);
    return publicKey;
  }

  /** Dollars for somebody, in an account of theirs. */
  async give(mint: PublicKey, to: PublicKey): Promise<void> {
    const account = getAssociatedTokenAddressSync(mint, to, true);
    await this.run([
      createAssociatedTokenAccountIdempotentInstruction(this.address, account, to, mint),
      createMintToInstruction(mint, account, this.address, DOLLARS),
    ]);
  }

  async run(instructions: TransactionInstruction[], signers: readonly Keypair[] = []): Promise<void> {
    const transaction = new Transaction().add(...instructions);
    transaction.feePayer = this.address;
    transaction.recentBlockhash = (await this.connection.getLatestBlockhash()).blockhash;
    transaction.sign(this.key, ...signers);
    await this.connection.sendRawTransaction(transaction.serialize());
  }
}
