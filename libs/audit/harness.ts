/** For tests of the auditor: a real vault on anvil, and a token process of its own. */
import type { BundleSource, Candidate } from '@isthmus/arweave';
import { getAddress, zeroAddress, type Hex } from 'viem';
import { COIN, RECIPIENT, Stage } from '../../contracts/ethereum/stage.js';
import { sampleBundle } from '../arweave/harness.js';
import type { AuditorOptions } from './src/index.js';
import { processOf } from './src/domain/forms.js';
import { ALICE, SCHEDULER, TokenScene } from './token-scene.js';

export { ALICE, SCHEDULER, threads, TOKEN, TOKEN_CODE } from './token-scene.js';

export const CHAIN = 'eip155:31337';
export const COIN_ID = `${CHAIN}/slip44:60`;

/** What a guardian says of a deposit. */
export interface SaidDeposit {
  sequence: bigint;
  tx: Hex;
  amount: bigint;
  recipient: string;
  sender?: Hex;
  tags?: string;
}

export class Scene extends TokenScene {
  private constructor(readonly stage: Stage) {
    super();
  }

  /** @param code of the token @param asset its contract, the zero address for the coin */
  static async open(stage: Stage, { code, asset = COIN }: { code?: string; asset?: Hex } = {}): Promise<Scene> {
    const scene = new Scene(stage);
    scene.now = Number((await stage.client.getBlock()).timestamp) * 1000;
    const home = {
      Name: 'Ether on AO',
      Ticker: 'aETH',
      Denomination: '18',
      'Isthmus-Asset': asset === zeroAddress ? COIN_ID : `${CHAIN}/erc20:${asset}`,
      'Isthmus-Chain': CHAIN,
      'Isthmus-Vault': stage.vault,
    };
    await scene.spawn(home, code);
    return scene;
  }

  /** The newest block is final. */
  protected chainOptions(): AuditorOptions['chain'] {
    return { rpcUrls: [this.stage.anvil.url], finality: { confirmations: 1 } };
  }

  /** A deposit on the chain, to Alice unless told. */
  async deposit(amount: bigint, recipient: Hex = ALICE, tags: Hex = '0x'): Promise<SaidDeposit> {
    const { transactionHash: tx } = await this.stage.deposit(amount, recipient, tags);
    const sequence = await this.stage.read<bigint>('sequence');
    const to = recipient.length === 42 ? getAddress(recipient) : processOf(recipient);
    return { sequence, tx, amount, recipient: to, tags: tags === '0x' ? '-' : tags.slice(2) };
  }

  /** Has it minted by what the guardians say. */
  mint({ sequence, sender = this.stage.account.address, ...rest }: SaidDeposit, id?: Hex): Promise<void> {
    return this.mintLine({ reference: `${CHAIN}:${this.stage.vault}:${sequence}`, sender, ...rest }, id);
  }

  /** Deposits and has it minted. */
  async fund(amount: bigint): Promise<void> {
    await this.mint(await this.deposit(amount));
  }

  withdraw(amount: bigint, maxFee = 1n, recipient: Hex = this.stage.other.address): Promise<void> {
    return this.withdrawTo(recipient, amount, maxFee);
  }

  /** A release on the chain by the guardians' signatures; returns its transaction. */
  async release(
    number: bigint,
    amount: bigint,
    {
      fee = 0n,
      maxFee = 1n,
      recipient = this.stage.other.address,
      process = this.process,
      asset = COIN,
    }: { fee?: bigint; maxFee?: bigint; recipient?: Hex; process?: string; asset?: Hex } = {},
  ): Promise<Hex> {
    const statement = this.stage.statement({ process, number, amount, maxFee, recipient, asset });
    return (await this.stage.release(statement, fee)).transactionHash;
  }
}

/** Bundles of a scene's schedule, as a gateway of Arweave shows them. */
export class Shelf implements BundleSource {
  readonly posted: { tx: string; seal: string; size: number; bytes: Buffer; sequence: number }[] = [];
  readonly read: string[] = [];
  private settled = 0;

  /** One more bundle, up to a slot. */
  async settle(scene: Scene, to: number): Promise<void> {
    const shown = scene.network.entries.get(scene.process) ?? [];
    const schedule = shown.map((entry, nonce) => ({ process: scene.process, nonce, ...entry }));
    const sequence = this.posted.length + 1;
    const content = {
      sequence,
      previous: this.posted.at(-1)?.seal ?? null,
      others: sequence === 1 ? [...scene.network.items.values()] : [],
      parts: [{ schedule, from: this.settled, to }],
    };
    const { bytes, seal } = await sampleBundle(content, SCHEDULER);
    this.posted.push({ tx: `tx-${sequence}`, seal: seal.item.id, size: bytes.length, bytes, sequence });
    this.settled = to + 1;
  }

  candidates(_scheduler: string, from: number, to: number): Promise<Map<number, Candidate[]>> {
    return Promise.resolve(this.among((n) => n >= from && n <= to));
  }
  later(_scheduler: string, than: number): Promise<Map<number, Candidate[]>> {
    return Promise.resolve(this.among((n) => n > than));
  }
  bytes({ tx }: Candidate): Promise<Buffer | null> {
    this.read.push(tx);
    return this.start({ tx });
  }
  start({ tx }: Pick<Candidate, 'tx'>): Promise<Buffer | null> {
    return Promise.resolve(this.posted.find((p) => p.tx === tx)?.bytes ?? null);
  }

  private among(wanted: (sequence: number) => boolean): Map<number, Candidate[]> {
    return new Map(this.posted.filter((p) => wanted(p.sequence)).map((p) => [p.sequence, [{ ...p, isIndexed: true }]]));
  }
}

export { COIN, RECIPIENT, Stage };
