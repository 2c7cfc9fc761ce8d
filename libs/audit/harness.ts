/** For tests of the auditor: a real vault on anvil, and a token process in a schedule of the test's own, which may run any code and say anything. */
import { createHash } from 'node:crypto';
import {
  assign,
  createItem,
  ed25519Signer,
  ethereumSigner,
  type AoNetwork,
  type Item,
  type ScheduleHead,
  type ShownEntry,
  type Tag,
} from '@isthmus/ao';
import type { BundleSource, Candidate } from '@isthmus/arweave';
import { devAccount, devKey } from '@isthmus/devnet';
import { tokenSource } from '@isthmus/store';
import { getAddress, keccak256, stringToHex, zeroAddress, type Hex } from 'viem';
import { COIN, RECIPIENT, Stage } from '../../contracts/ethereum/stage.js';
import { sampleBundle } from '../arweave/harness.js';
import { Auditor, type AuditorOptions } from './src/index.js';
import { depositIdOf, processOf } from './src/domain/forms.js';

export const CHAIN = 'eip155:31337';
export const COIN_ID = `${CHAIN}/slip44:60`;
export const SCHEDULER = ed25519Signer(Buffer.alloc(32, 1));
export const ALICE = devAccount(5).address;
const ALICE_KEY = devKey(5);
const DEPLOYER = ethereumSigner(devKey(0));
const guardianKey = (index: number): Hex => keccak256(stringToHex(`guardian ${index}`));

export const TOKEN = tokenSource().toString();
export const TOKEN_CODE = createHash('sha256').update(TOKEN).digest('hex');

const tagList = (tags: Record<string, string>): Tag[] => Object.entries(tags).map(([name, value]) => ({ name, value }));

/** Schedules in memory, shown as they are. */
class Schedules implements AoNetwork {
  readonly items = new Map<string, Item>();
  readonly entries = new Map<string, ShownEntry[]>();

  schedule(process: string, head: ScheduleHead | null, limit: number): Promise<ShownEntry[]> {
    const from = head?.nonce ?? 0;
    return Promise.resolve((this.entries.get(process) ?? []).slice(from, from + limit));
  }
  item(id: string): Promise<Item | null> {
    return Promise.resolve(this.items.get(id) ?? null);
  }
  send(): Promise<void> {
    return Promise.reject(new Error('not here'));
  }
}

/** What a guardian says of a deposit. */
export interface SaidDeposit {
  sequence: bigint;
  tx: Hex;
  amount: bigint;
  recipient: string;
  sender?: Hex;
  tags?: string;
}

export class Scene {
  readonly network = new Schedules();
  private readonly heads = new Map<string, ScheduleHead>();
  private sent = 0;
  /** Milliseconds at which messages get their places. */
  now = 0;
  private readonly auditors: Auditor[] = [];

  private constructor(
    readonly stage: Stage,
    readonly process: string,
  ) {}

  /** @param code of the token @param asset its contract, the zero address for the coin */
  static async open(stage: Stage, { code = TOKEN, asset = COIN }: { code?: string; asset?: Hex } = {}): Promise<Scene> {
    const module = await createItem(
      { tags: tagList({ 'Data-Protocol': 'ao', Type: 'Module', 'Module-Format': 'isthmus-lua-5.4' }), data: code },
      DEPLOYER,
    );
    const spawn = await createItem(
      {
        tags: tagList({
          'Data-Protocol': 'ao',
          Variant: 'ao.TN.1',
          Type: 'Process',
          Module: module.id,
          Scheduler: SCHEDULER.address,
          Authority: SCHEDULER.address,
          Name: 'Ether on AO',
          Ticker: 'aETH',
          Denomination: '18',
          'Isthmus-Asset': asset === zeroAddress ? COIN_ID : `${CHAIN}/erc20:${asset}`,
          'Isthmus-Chain': CHAIN,
          'Isthmus-Vault': stage.vault,
          'Isthmus-Guardians': stage.guardians.map((g) => g.address).join(','),
          'Isthmus-Threshold': '2',
          'Isthmus-Pause-Threshold': '1',
          'Isthmus-Epoch': '1',
          'Isthmus-Min-Withdrawal': '10',
          'Isthmus-Limit': String(10n ** 24n),
          'Isthmus-Limit-Window': '3600000',
        }),
        data: '',
      },
      DEPLOYER,
    );
    const scene = new Scene(stage, spawn.id);
    scene.network.items.set(module.id, module);
    scene.now = Number((await stage.client.getBlock()).timestamp) * 1000;
    await scene.place(spawn);
    return scene;
  }

  async place(message: Item): Promise<void> {
    const head = this.heads.get(this.process) ?? null;
    const now = { timestamp: this.now, blockHeight: 1 };
    const { item, head: next } = await assign(this.process, message.id, head, now, SCHEDULER);
    this.heads.set(this.process, next);
    this.network.entries.set(this.process, [
      ...(this.network.entries.get(this.process) ?? []),
      { assignment: item, message },
    ]);
  }

  async message(key: Hex, tags: Record<string, string>, data = ''): Promise<void> {
    this.sent += 1;
    const anchor = String(this.sent).padStart(32, '0');
    const all = tagList({ 'Data-Protocol': 'ao', Variant: 'ao.TN.1', Type: 'Message', ...tags });
    await this.place(await createItem({ target: this.process, anchor, tags: all, data }, ethereumSigner(key)));
  }

  /** Two of three guardians say the same. */
  async agree(tags: Record<string, string>, data: string): Promise<void> {
    for (const guardian of [0, 1]) await this.message(guardianKey(guardian), tags, data);
  }

  /** A deposit on the chain, to Alice unless told. */
  async deposit(amount: bigint, recipient: Hex = ALICE, tags: Hex = '0x'): Promise<SaidDeposit> {
    const { transactionHash: tx } = await this.stage.deposit(amount, recipient, tags);
    const sequence = await this.stage.read<bigint>('sequence');
    const to = recipient.length === 42 ? getAddress(recipient) : processOf(recipient);
    return { sequence, tx, amount, recipient: to, tags: tags === '0x' ? '-' : tags.slice(2) };
  }

  /** Has it minted by what the guardians say. */
  async mint(
    { sequence, tx, amount, recipient, sender = this.stage.account.address, tags = '-' }: SaidDeposit,
    id?: Hex,
  ): Promise<void> {
    const reference = `${CHAIN}:${this.stage.vault}:${sequence}`;
    await this.agree(
      { Action: 'Attest-Deposits' },
      [id ?? depositIdOf(reference), reference, tx, sender, recipient, amount, tags].join(' '),
    );
  }

  /** Deposits and has it minted. */
  async fund(amount: bigint): Promise<void> {
    await this.mint(await this.deposit(amount));
  }

  async withdraw(amount: bigint, maxFee = 1n, recipient: Hex = this.stage.other.address): Promise<void> {
    const tags = { Action: 'Withdraw', Quantity: String(amount), 'Max-Fee': String(maxFee), Recipient: recipient };
    await this.message(ALICE_KEY, tags);
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

  /** The guardians say that a withdrawal was paid. */
  attest(number: bigint, tx: Hex, fee = 0n, outcome = 'paid'): Promise<void> {
    return this.agree({ Action: 'Attest-Release' }, [number, tx, fee, outcome].join(' '));
  }

  transfer(amount: bigint, recipient: string): Promise<void> {
    return this.message(ALICE_KEY, { Action: 'Transfer', Quantity: String(amount), Recipient: recipient });
  }

  /** An auditor that takes the newest block for final. */
  async auditor(options: Partial<AuditorOptions> = {}): Promise<Auditor> {
    const auditor = await Auditor.open({
      chain: { rpcUrls: [this.stage.anvil.url], finality: { confirmations: 1 } },
      processes: [this.process],
      network: this.network,
      patienceMs: 3_600_000,
      ...options,
    });
    this.auditors.push(auditor);
    return auditor;
  }

  async close(): Promise<void> {
    for (const auditor of this.auditors) await auditor.close();
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
