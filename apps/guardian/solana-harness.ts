/** Guardians of vaults on Solana for tests, stepped by hand: the real runtime beside the units, and what people and relayers do there. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { solanaAssetId, solanaChain, type OpenProposal, type ProcessView } from '@isthmus/bridge';
import { solana } from '@isthmus/chains';
import { tokenSource, writeKeyFile } from '@isthmus/store';
import { NATIVE_MINT } from '@solana/spl-token';
import { Keypair, type PublicKey } from '@solana/web3.js';
import type { DataSource } from 'typeorm';
import { SolanaWorld } from '../../libs/chains/src/solana/harness.js';
import { ALICE, ALICE_KEY } from './harness.js';
import { guardianSchema, type GuardianConfig, type SolanaHomeConfig } from './src/config.js';
import { Door, guardianAddress, lean, SCHEDULER, Subject, Units, type UnitParts } from './units.js';

export const seedOf = (pair: Keypair): Uint8Array => pair.secretKey.subarray(0, 32);
export const addressOf = (pair: Keypair): string => pair.publicKey.toBase58();
export const SOME = 50_000_000n;
/** What the relayer keeps of a release. */
export const FEE = 5_000n;

/** One chain for all tests of a file. */
export class SolanaHomeWorld extends Units {
  readonly folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-guardian-solana-'));

  private constructor(
    units: UnitParts,
    readonly solana: SolanaWorld,
  ) {
    super(units);
  }

  static async open(): Promise<SolanaHomeWorld> {
    const [units, chain] = await Promise.all([SolanaHomeWorld.begin(), SolanaWorld.open()]);
    await chain.makeAccount(chain.mint.publicKey, chain.relayer.publicKey);
    await chain.chain.finalize();
    return new SolanaHomeWorld(units, chain);
  }

  override async close(): Promise<void> {
    await super.close();
    await this.solana.chain.stop();
    fs.rmSync(this.folder, { recursive: true });
  }

  get id(): string {
    return solanaChain(this.solana.chain.genesisHash);
  }

  /** Writes down a guardian's key on Solana. */
  keyFile(pair: Keypair): string {
    const file = path.join(this.folder, addressOf(pair));
    if (!fs.existsSync(file)) writeKeyFile(file, `0x${Buffer.from(seedOf(pair)).toString('hex')}`);
    return file;
  }

  /** New vaults with their processes, and nonces: one test's own. */
  async scene(nonces = 2, mint?: PublicKey): Promise<SolanaScene> {
    const scene = await SolanaScene.open(this, nonces, mint ?? this.solana.mint.publicKey);
    this.scenes.push(scene);
    return scene;
  }
}

type SolanaAsset = SolanaHomeConfig['assets'][number];

export class SolanaScene {
  readonly logged: string[] = [];
  private readonly subjects: Subject[] = [];
  private readonly doors: Door[] = [];
  private constructor(
    readonly world: SolanaHomeWorld,
    readonly nonces: readonly string[],
    readonly assets: readonly SolanaAsset[],
    readonly modules: readonly string[],
    readonly source: Door,
  ) {}

  static async open(world: SolanaHomeWorld, count: number, mint: PublicKey): Promise<SolanaScene> {
    const { solana: chain } = world;
    const nonces: string[] = [];
    for (let i = 0; i < count; i += 1) nonces.push((await chain.makeNonce()).toBase58());
    const assets: SolanaAsset[] = [];
    const modules: string[] = [];
    for (const held of [NATIVE_MINT, mint]) {
      const vault = (await chain.makePlainAccount(held, chain.multisig.publicKey)).toBase58();
      const id = solanaAssetId(world.id, held === NATIVE_MINT ? null : held.toBase58());
      const { process, module } = await world.spawnProcess(
        {
          'Isthmus-Chain': world.id,
          'Isthmus-Asset': id,
          'Isthmus-Vault': vault,
          'Isthmus-Guardians': [0, 1, 2].map(guardianAddress).join(','),
          'Isthmus-Guardian-Keys': chain.guardians.map(addressOf).join(','),
          Denomination: '9',
        },
        lean(tokenSource().toString()),
      );
      assets.push({ id, process, vault, relayFee: FEE });
      modules.push(module);
    }
    await chain.chain.finalize();
    return new SolanaScene(world, nonces, assets, modules, await Door.open(chain.chain.url));
  }

  get sol(): SolanaAsset {
    return this.assets[0] as SolanaAsset;
  }

  get token(): SolanaAsset {
    return this.assets[1] as SolanaAsset;
  }

  get process(): string {
    return this.sol.process;
  }

  async close(): Promise<DataSource[]> {
    await Promise.all([this.source, ...this.doors].map((d) => d.close()));
    return Promise.all(this.subjects.map((s) => s.close()));
  }

  /** Another source of the same chain, with a lever. */
  async anotherSource(): Promise<Door> {
    const door = await Door.open(this.world.solana.chain.url);
    this.doors.push(door);
    return door;
  }

  /** A guardian with a database of its own, and the key the set names unless another is given. */
  async guardian(index: number, change: Record<string, unknown> = {}, pair?: Keypair): Promise<Subject> {
    const keyFile = this.world.keyFile(pair ?? (this.world.solana.guardians[index] as Keypair));
    const configure = (later: Record<string, unknown> = change) => this.configOf(index, keyFile, later);
    const subject = await Subject.open(this, index, configure, await this.world.room());
    this.subjects.push(subject);
    return subject;
  }

  guardians(change: Record<string, unknown> = {}): Promise<Subject[]> {
    return Promise.all([0, 1, 2].map((i) => this.guardian(i, change)));
  }

  /** A deposit for Alice, final unless `open`. */
  async deposited(amount: bigint, asset = this.sol, open = false): Promise<string> {
    const { solana: chain } = this.world;
    const signature = await chain.run(chain.instructions(this.vaultOf(asset), amount, { recipient: ALICE }));
    if (open) await chain.chain.tick();
    else await chain.chain.finalize();
    return signature;
  }

  async withdraw(amount: bigint, recipient: string, asset = this.sol, maxFee = FEE): Promise<void> {
    const tags = { Action: 'Withdraw', Quantity: String(amount), Recipient: recipient, 'Max-Fee': String(maxFee) };
    await this.world.message(ALICE_KEY, asset.process, tags);
  }

  vaultOf(asset: SolanaAsset): solana.DepositVault {
    const { sol, token } = this.world.solana;
    const mint = asset.id.split('/token:')[1];
    return mint === undefined ? { ...sol, address: asset.vault } : { ...token, mint, address: asset.vault };
  }

  /** As whoever submits makes it: what has all signatures, as it is sent; null for the rest. */
  wireOf(proposal: OpenProposal, view: ProcessView, asset = this.sol, outgoing = false): Uint8Array | null {
    const { solana: chain } = this.world;
    const set = outgoing ? (view.outgoing ?? view.set) : view.set;
    const custody = { multisig: addressOf(chain.multisig), guardians: set.keys, threshold: set.threshold };
    const facts = { vault: this.vaultOf(asset), custody, process: asset.process, withdrawals: view.open };
    const plan = solana.planOf(solana.decodeProposal(proposal), facts);
    const message = solana.planMessage(plan);
    const parts = [...proposal.signatures.values()];
    const good = new Set(parts.map((p) => solana.verifyPart(plan, message, p)).filter((i) => i !== null));
    return good.size < set.threshold ? null : solana.assemble(plan, message, parts, seedOf(chain.relayer));
  }

  /** Everything of the set's that has its signatures and can still be. */
  ready(view: ProcessView, asset = this.sol, outgoing = false): Uint8Array[] {
    const { epoch } = outgoing ? (view.outgoing ?? view.set) : view.set;
    const { runtime } = this.world.solana.chain.ledger;
    return [...view.proposals.values()].flatMap((proposal) => {
      const { account, value } = solana.nonceOf(proposal.anchor);
      const isOpen = solana.readNonce(runtime.account(account))?.value === value;
      return (proposal.epoch === epoch && isOpen && this.wireOf(proposal, view, asset, outgoing)) || [];
    });
  }

  /** Sends a transaction, without asking first whether it will do. */
  async send(wire: Uint8Array): Promise<string> {
    const signature = await this.world.solana.connection.sendRawTransaction(wire, { skipPreflight: true });
    await this.world.solana.chain.finalize();
    return signature;
  }

  lamports(address: string): bigint {
    return this.world.solana.chain.ledger.runtime.account(address)?.lamports ?? 0n;
  }

  private configOf(index: number, keyFile: string, change: Record<string, unknown>): GuardianConfig {
    const { chain = {}, ...others } = change;
    return guardianSchema.parse({
      name: `guardian ${index}`,
      keyFile: '/nowhere',
      databaseUrl: 'postgres://nowhere',
      port: 0,
      gatewayUrl: this.world.unitsUrl,
      scheduler: SCHEDULER.address,
      modules: this.modules,
      turnMs: 100,
      homes: [
        {
          chain: {
            id: this.world.id,
            rpcUrls: [this.source.url],
            agreement: 1,
            relayer: addressOf(this.world.solana.relayer),
            nonces: this.nonces,
            ...(chain as object),
          },
          keyFile,
          assets: this.assets.map((a) => ({ ...a, relayFee: String(a.relayFee) })),
        },
      ],
      ...others,
    });
  }
}
