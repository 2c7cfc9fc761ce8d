/** Test harness: guardians' vaults of SOL and of a token on the real runtime, sources in front of it, and transactions of any shape. */
import { solanaChain } from '@isthmus/bridge';
import { Solana, type Front } from '@isthmus/devnet';
import {
  ACCOUNT_SIZE,
  AuthorityType,
  createAssociatedTokenAccountIdempotentInstruction,
  createEnableRequiredMemoTransfersInstruction,
  createInitializeAccount3Instruction,
  createInitializeMint2Instruction,
  createInitializeMultisigInstruction,
  createMintToInstruction,
  createReallocateInstruction,
  createSetAuthorityInstruction,
  ExtensionType,
  getAssociatedTokenAddressSync,
  MINT_SIZE,
  MULTISIG_SIZE,
  NATIVE_MINT,
  TOKEN_2022_PROGRAM_ID,
  TOKEN_PROGRAM_ID,
} from '@solana/spl-token';
import {
  AddressLookupTableProgram,
  Connection,
  Keypair,
  NONCE_ACCOUNT_LENGTH,
  NonceAccount,
  PublicKey,
  SystemProgram,
  Transaction,
  TransactionMessage,
  VersionedTransaction,
  type AddressLookupTableAccount,
  type TransactionInstruction,
} from '@solana/web3.js';
import { depositInstructions, type DepositRequest, type DepositVault } from './build.js';
import { NATIVE, TOKEN } from './programs.js';
import { SolanaPool } from './rpc.js';
import { SolanaWatcher, type SolanaCursor, type SolanaScan } from './watcher.js';

export const RECIPIENT = Buffer.alloc(32, 0xab).toString('base64url');
export const PROCESS = Buffer.alloc(32, 0xcd).toString('base64url');
export const FINAL = 4;
export const DECIMALS = 6;

export class SolanaWorld {
  readonly guardians: Keypair[];
  readonly relayer = Keypair.generate();
  readonly user = Keypair.generate();
  readonly multisig = Keypair.generate();
  readonly mint = Keypair.generate();
  readonly connection: Connection;
  sol: DepositVault = { address: '', mint: NATIVE, program: TOKEN, decimals: 9 };
  token: DepositVault = { address: '', mint: this.mint.publicKey.toBase58(), program: TOKEN, decimals: DECIMALS };

  private constructor(
    readonly chain: Solana,
    readonly threshold: number,
    guardians: number,
  ) {
    this.guardians = Array.from({ length: guardians }, () => Keypair.generate());
    this.connection = new Connection(chain.url, 'processed');
  }

  static async open(threshold = 2, guardians = 3, historyLimit = 50_000): Promise<SolanaWorld> {
    const world = new SolanaWorld(await Solana.start({ finalizedAfter: FINAL, historyLimit }), threshold, guardians);
    for (const { publicKey } of [world.relayer, world.user]) world.chain.airdrop(publicKey.toBase58(), 10n ** 14n);
    await world.prepare();
    return world;
  }

  get programId(): PublicKey {
    return TOKEN_PROGRAM_ID;
  }

  private async prepare(): Promise<void> {
    await this.makeMultisig(this.multisig, this.guardians);
    await this.makeMint(this.mint);
    const key = this.mint.publicKey;
    this.sol = { ...this.sol, address: (await this.makeAccount(NATIVE_MINT, this.multisig.publicKey)).toBase58() };
    this.token = { ...this.token, address: (await this.makeAccount(key, this.multisig.publicKey)).toBase58() };
    await this.makeAccount(key, this.user.publicKey);
    await this.run([createMintToInstruction(key, this.account(this.user.publicKey), this.user.publicKey, 10n ** 15n)]);
    await this.chain.finalize();
  }

  async makeMultisig(at: Keypair, guardians: readonly Keypair[]): Promise<void> {
    await this.run(
      [
        await this.create(at, MULTISIG_SIZE, TOKEN_PROGRAM_ID),
        createInitializeMultisigInstruction(
          at.publicKey,
          guardians.map((g) => g.publicKey),
          this.threshold,
        ),
      ],
      [at],
    );
  }

  async makeMint(mint: Keypair, freezer: PublicKey | null = null): Promise<void> {
    await this.run(
      [
        await this.create(mint, MINT_SIZE, TOKEN_PROGRAM_ID),
        createInitializeMint2Instruction(mint.publicKey, DECIMALS, this.user.publicKey, freezer),
      ],
      [mint],
    );
  }

  /** Somebody's associated account of a mint, made. */
  async makeAccount(mint: PublicKey, owner: PublicKey, program = TOKEN_PROGRAM_ID): Promise<PublicKey> {
    const address = getAssociatedTokenAddressSync(mint, owner, true, program);
    const { publicKey: payer } = this.user;
    await this.run([createAssociatedTokenAccountIdempotentInstruction(payer, address, owner, mint, program)]);
    return address;
  }

  /** An account at an address of its own. */
  async makePlainAccount(mint: PublicKey, owner: PublicKey): Promise<PublicKey> {
    const account = Keypair.generate();
    await this.run(
      [
        await this.create(account, ACCOUNT_SIZE, TOKEN_PROGRAM_ID),
        createInitializeAccount3Instruction(account.publicKey, mint, owner),
      ],
      [account],
    );
    return account.publicKey;
  }

  /** A token of Token-2022 with a vault of the guardians, and some of it in the user's hands. */
  async token2022(): Promise<{ vault: DepositVault; multisig: string }> {
    const [mint, multisig, account] = [Keypair.generate(), Keypair.generate(), Keypair.generate()];
    const P = TOKEN_2022_PROGRAM_ID;
    const [by, keys] = [this.user.publicKey, this.guardians.map((g) => g.publicKey)];
    await this.run(
      [
        await this.create(mint, MINT_SIZE, P),
        createInitializeMint2Instruction(mint.publicKey, DECIMALS, by, null, P),
        await this.create(multisig, MULTISIG_SIZE, P),
        createInitializeMultisigInstruction(multisig.publicKey, keys, this.threshold, P),
      ],
      [mint, multisig],
    );
    const mine = await this.makeAccount(mint.publicKey, by, P);
    await this.run(
      [
        await this.create(account, ACCOUNT_SIZE, P),
        createInitializeAccount3Instruction(account.publicKey, mint.publicKey, multisig.publicKey, P),
        createMintToInstruction(mint.publicKey, mine, by, 10n ** 9n, [], P),
      ],
      [account],
    );
    const [address, key] = [account.publicKey.toBase58(), mint.publicKey.toBase58()];
    const vault = { address, mint: key, program: P.toBase58(), decimals: DECIMALS };
    return { vault, multisig: multisig.publicKey.toBase58() };
  }

  /** Somebody's account of Token-2022, which takes nothing without a memo right before it. */
  async wantsMemo({ mint }: DepositVault, owner: Keypair): Promise<void> {
    const P = TOKEN_2022_PROGRAM_ID;
    const at = await this.makeAccount(new PublicKey(mint), owner.publicKey, P);
    await this.run(
      [
        createReallocateInstruction(at, this.user.publicKey, [ExtensionType.MemoTransfer], owner.publicKey, [], P),
        createEnableRequiredMemoTransfersInstruction(at, owner.publicKey, [], P),
      ],
      [owner],
    );
  }

  /** A lookup table of addresses, as it can be used. */
  async lookupTable(addresses: readonly string[]): Promise<AddressLookupTableAccount> {
    const { publicKey: authority } = this.user;
    const recentSlot = await this.connection.getSlot('confirmed');
    const [create, table] = AddressLookupTableProgram.createLookupTable({ authority, payer: authority, recentSlot });
    const keys = addresses.map((address) => new PublicKey(address));
    const extend = { lookupTable: table, authority, payer: authority, addresses: keys };
    await this.run([create, AddressLookupTableProgram.extendLookupTable(extend)]);
    await this.chain.tick(2);
    const { value } = await this.connection.getAddressLookupTable(table);
    if (value === null) throw new Error('The table was not made.');
    return value;
  }

  async giveAway(account: PublicKey, owner: Keypair, to: PublicKey): Promise<void> {
    await this.run([createSetAuthorityInstruction(account, owner.publicKey, AuthorityType.AccountOwner, to)], [owner]);
  }

  account(owner: PublicKey): PublicKey {
    return getAssociatedTokenAddressSync(this.mint.publicKey, owner, true);
  }

  async create(account: Keypair, space: number, programId: PublicKey): Promise<TransactionInstruction> {
    const lamports = await this.connection.getMinimumBalanceForRentExemption(space);
    const { publicKey: fromPubkey } = this.user;
    return SystemProgram.createAccount({ fromPubkey, newAccountPubkey: account.publicKey, space, lamports, programId });
  }

  /** Sends what the user signs, with others, and fails when it fails; `quiet` skips preflight. */
  async run(instructions: TransactionInstruction[], signers: readonly Keypair[] = [], quiet = false): Promise<string> {
    const transaction = new Transaction().add(...instructions);
    transaction.feePayer = this.user.publicKey;
    transaction.recentBlockhash = (await this.connection.getLatestBlockhash('processed')).blockhash;
    transaction.sign(this.user, ...signers.filter((s) => !s.publicKey.equals(this.user.publicKey)));
    return this.connection.sendRawTransaction(transaction.serialize(), { skipPreflight: quiet });
  }

  async runV0(instructions: TransactionInstruction[], tables: AddressLookupTableAccount[]): Promise<string> {
    const { blockhash } = await this.connection.getLatestBlockhash('processed');
    const message = new TransactionMessage({ payerKey: this.user.publicKey, recentBlockhash: blockhash, instructions });
    const transaction = new VersionedTransaction(message.compileToV0Message(tables));
    transaction.sign([this.user]);
    return this.connection.sendTransaction(transaction);
  }

  /** The two instructions of a deposit. */
  instructions(vault: DepositVault, amount: bigint, request: Partial<DepositRequest> = {}): TransactionInstruction[] {
    return depositInstructions(vault, {
      sender: this.user.publicKey.toBase58(),
      recipient: RECIPIENT,
      ...request,
      amount,
    });
  }

  deposit(vault: DepositVault, amount: bigint): Promise<string> {
    return this.run(this.instructions(vault, amount));
  }

  async makeNonce(authority = this.relayer.publicKey): Promise<PublicKey> {
    const nonce = Keypair.generate();
    await this.run(
      [
        await this.create(nonce, NONCE_ACCOUNT_LENGTH, SystemProgram.programId),
        SystemProgram.nonceInitialize({ noncePubkey: nonce.publicKey, authorizedPubkey: authority }),
      ],
      [nonce],
    );
    await this.chain.tick();
    return nonce.publicKey;
  }

  async nonceValue(nonce: PublicKey): Promise<string> {
    const account = await this.connection.getAccountInfo(nonce, 'processed');
    return NonceAccount.fromAccountData(account?.data ?? Buffer.alloc(0)).nonce;
  }

  async tokens(account: PublicKey | string): Promise<bigint> {
    return BigInt((await this.connection.getTokenAccountBalance(new PublicKey(account), 'processed')).value.amount);
  }

  pool(
    fronts: readonly Pick<Front, 'url'>[] = [this.chain.front],
    agreement = 1,
    genesisHash = this.chain.genesisHash,
  ): SolanaPool {
    return new SolanaPool({
      urls: fronts.map((f) => f.url),
      agreement,
      chain: solanaChain(genesisHash),
      timeoutMs: 5_000,
    });
  }

  watcher(vault: DepositVault, pool = this.pool()): SolanaWatcher {
    return new SolanaWatcher(pool, vault);
  }
}

/** All a watcher finds from a cursor on. */
export async function catchUp(
  watcher: SolanaWatcher,
  from: SolanaCursor = watcher.begin(),
): Promise<Omit<SolanaScan, 'finalized' | 'caughtUp'>> {
  let cursor = from;
  const events: SolanaScan['events'] = [];
  for (let scan = await watcher.step(cursor); scan !== null; scan = await watcher.step(cursor)) {
    events.push(...scan.events);
    ({ cursor } = scan);
  }
  return { events, cursor };
}
