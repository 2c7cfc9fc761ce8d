/** Guardians of a vault on Bitcoin for tests, stepped by hand: a real regtest node beside the units, and what people and relayers do there. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createHash } from 'node:crypto';
import {
  BLOCKS_APART,
  encodeBitcoinTerms,
  encodeDecision,
  TERMS_TAG,
  type BitcoinTerms,
  type GuardianSet,
  type OpenProposal,
  type ProcessView,
} from '@isthmus/bridge';
import {
  chainOf,
  combine,
  decodeProposal,
  decodeSignatures,
  depositScript,
  encodeRegistration,
  memoScript,
  NETWORKS,
  outpointOf,
  planSweep,
  publicKeyOf,
  signBatch,
  unsigned,
  vaultKeys,
  vaultScript,
  type Batch,
  type DepositTerms,
  type VaultCoin,
  type VaultKeys,
  type VaultScript,
} from '@isthmus/chains';
import { Purse, startBitcoin, type LocalBitcoin } from '@isthmus/devnet';
import { tokenSource, writeKeyFile } from '@isthmus/store';
import { Transaction } from 'bitcoinjs-lib';
import type { DataSource } from 'typeorm';
import { ALICE, ALICE_KEY } from './harness.js';
import { guardianSchema, type GuardianConfig } from './src/config.js';
import { Door, guardianAddress, guardianKey, lean, SCHEDULER, Subject, Units, type UnitParts } from './units.js';

export const REGTEST = NETWORKS.regtest;
export const CHAIN = chainOf(REGTEST);
/** Confirmations after which a transaction of the vault is final. */
export const DEEP = 3;
/** Below it one confirmation is enough. */
export const SMALL = 1_000_000n;
export const SWEEP_MARGIN = 5;

export const secretOf = (words: string): Buffer => createHash('sha256').update(words).digest();

const keysOf = ({ keys, threshold }: GuardianSet): VaultKeys =>
  vaultKeys(
    keys.map((key) => Buffer.from(key, 'hex')),
    threshold,
  );
const isSame = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

/** One node for all tests of a file. */
export class BitcoinWorld extends Units {
  readonly purse = Purse.of('payer');
  readonly folder = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-guardian-bitcoin-'));
  private made = 0;

  private constructor(
    units: UnitParts,
    readonly bitcoin: LocalBitcoin,
  ) {
    super(units);
  }

  static async open(): Promise<BitcoinWorld> {
    const [units, bitcoin] = await Promise.all([
      BitcoinWorld.begin(),
      startBitcoin({ reward: Purse.of('payer').script }),
    ]);
    return new BitcoinWorld(units, bitcoin);
  }

  override async close(): Promise<void> {
    await super.close();
    await this.bitcoin.stop();
    fs.rmSync(this.folder, { recursive: true });
  }

  get url(): string {
    return this.bitcoin.url.replace('http://', `http://${this.bitcoin.credentials}@`);
  }

  /** A new vault with its process, its first coin final: one test's own. */
  async scene({ squatted = 0n, ...terms }: Partial<BitcoinTerms> & { squatted?: bigint } = {}): Promise<BitcoinScene> {
    this.made += 1;
    this.bitcoin.fees.estimate = 3_000n;
    const scene = await BitcoinScene.open(this, `scene ${this.made}`, terms, squatted);
    this.scenes.push(scene);
    return scene;
  }
}

export class BitcoinScene {
  readonly logged: string[] = [];
  /** What the vault was paid, for who puts signatures together. */
  private readonly coins = new Map<string, VaultCoin>();
  private readonly subjects: Subject[] = [];
  private constructor(
    readonly world: BitcoinWorld,
    readonly name: string,
    readonly process: string,
    readonly module: string,
    readonly vault: VaultKeys,
    readonly terms: BitcoinTerms,
    readonly gateway: Door,
    readonly source: Door,
  ) {}

  /** @param squatted what somebody pays the vault before its first coin, satoshis */
  static async open(
    world: BitcoinWorld,
    name: string,
    change: Partial<BitcoinTerms>,
    squatted: bigint,
  ): Promise<BitcoinScene> {
    const keys = [0, 1, 2].map((i) => publicKeyOf(secretOf(`${name} ${i}`)));
    const vault = vaultKeys(
      keys.map((key) => Buffer.from(key, 'hex')),
      2,
    );
    const terms: BitcoinTerms = {
      startHeight: world.bitcoin.node.height + 1,
      minDeposit: 10_000n,
      sweepFee: 0n,
      sweepMargin: SWEEP_MARGIN,
      leastRefund: 2 * SWEEP_MARGIN + DEEP + BLOCKS_APART,
      finality: [
        { upTo: SMALL, confirmations: 1 },
        { upTo: null, confirmations: DEEP },
      ],
      ...change,
    };
    const { process, module } = await world.spawnProcess(
      {
        'Isthmus-Chain': CHAIN,
        'Isthmus-Asset': `${CHAIN}/slip44:0`,
        'Isthmus-Vault': vaultScript(vault, REGTEST).address,
        'Isthmus-Guardians': [0, 1, 2].map(guardianAddress).join(','),
        'Isthmus-Guardian-Keys': keys.join(','),
        [TERMS_TAG]: encodeBitcoinTerms(terms),
        Denomination: '8',
        'Isthmus-Limit': String(10n ** 12n),
      },
      lean(tokenSource().toString()),
    );
    const [gateway, source] = [await Door.open(world.unitsUrl), await Door.open(world.bitcoin.url)];
    const scene = new BitcoinScene(world, name, process, module, vault, terms, gateway, source);
    if (squatted > 0n) await scene.pay(squatted, scene.lock);
    if (squatted > 0n) await world.bitcoin.mine();
    await scene.pay(50_000n, scene.lock);
    await world.bitcoin.mine(DEEP);
    return scene;
  }

  get lock(): VaultScript {
    return vaultScript(this.vault, REGTEST);
  }

  /** Of the vault that these guardians hold, two of them for every transaction. */
  lockOf(indices: readonly number[]): VaultScript {
    const keys = indices.map((i) => Buffer.from(publicKeyOf(secretOf(`${this.name} ${i}`)), 'hex'));
    return vaultScript(vaultKeys(keys, 2), REGTEST);
  }

  async close(): Promise<DataSource[]> {
    await Promise.all([this.gateway.close(), this.source.close()]);
    return Promise.all(this.subjects.map((s) => s.close()));
  }

  /** A guardian with a database of its own, and the key the set names unless `key` says another. */
  async guardian(index: number, change: Record<string, unknown> = {}, key = `${this.name} ${index}`): Promise<Subject> {
    const keyFile = path.join(this.world.folder, `${key}.key`);
    if (!fs.existsSync(keyFile)) writeKeyFile(keyFile, `0x${secretOf(key).toString('hex')}`);
    const configure = (later: Record<string, unknown> = change) => this.configOf(index, keyFile, later);
    const subject = await Subject.open(this, index, configure, await this.world.room());
    this.subjects.push(subject);
    return subject;
  }

  guardians(change: Record<string, unknown> = {}): Promise<Subject[]> {
    return Promise.all([0, 1, 2].map((i) => this.guardian(i, change)));
  }

  /** Rounds of all until something holds. @throws Error when it does not come to that */
  until(subjects: readonly Subject[], holds: () => boolean | Promise<boolean>): Promise<void> {
    return this.stepped(() => this.rounds(subjects, 1), holds);
  }

  /** Such steps until something holds. @throws Error when it does not come to that */
  async stepped(step: () => Promise<void>, holds: () => boolean | Promise<boolean>): Promise<void> {
    for (let round = 0; round < 40; round += 1) {
      if (await holds()) return;
      await step();
    }
    throw new Error(`It does not come to that: ${this.logged.slice(-5).join('').slice(0, 1_500)}`);
  }

  async rounds(subjects: readonly Subject[], count = 2): Promise<void> {
    for (let round = 0; round < count; round += 1) for (const subject of subjects) await subject.round();
  }

  /** A deposit address that credits Alice, said on the schedule. */
  async address(change: Partial<DepositTerms> = {}): Promise<{ lock: VaultScript; terms: DepositTerms }> {
    const terms = this.termsOf(change);
    const { tags, data } = encodeRegistration(terms);
    await this.world.message(ALICE_KEY, this.process, Object.fromEntries(tags.map((t) => [t.name, t.value])), data);
    return { lock: depositScript(terms), terms };
  }

  /** Terms that credit Alice, not registered. */
  termsOf(change: Partial<DepositTerms> = {}): DepositTerms {
    return {
      network: REGTEST,
      vault: this.vault,
      process: this.process,
      recipient: ALICE,
      tags: [],
      refund: { kind: 'key', key: Buffer.from(publicKeyOf(secretOf('depositor')), 'hex') },
      refundAfter: 60,
      ...change,
    };
  }

  /** Pays a script of the vault; not mined. */
  async pay(value: bigint, lock: VaultScript, deposit = false, ...more: { script: Uint8Array; value: bigint }[]) {
    const { bitcoin, purse } = this.world;
    const hex = await purse.pay(bitcoin.node, [{ script: lock.script, value }, ...more]);
    await bitcoin.send(hex);
    const coin = { txid: Transaction.fromHex(hex).getId(), vout: 0, value, lock, deposit };
    this.coins.set(outpointOf(coin), coin);
    return { hex, coin };
  }

  /** Pays a deposit address, or the vault's own script, this many times at once; mined in the next block. */
  async payMany(value: bigint, lock: VaultScript, count: number, deposit = true): Promise<VaultCoin[]> {
    const more = Array.from({ length: count - 1 }, () => ({ script: lock.script, value }));
    const { coin } = await this.pay(value, lock, deposit, ...more);
    const coins = Array.from({ length: count }, (_, vout) => ({ ...coin, vout }));
    for (const one of coins) this.coins.set(outpointOf(one), one);
    return coins;
  }

  /** A payment to the vault that names Alice. */
  payMemo(value: bigint) {
    return this.pay(value, this.lock, false, { script: memoScript({ recipient: ALICE, tags: [] }), value: 0n });
  }

  /** Alice has this much on AO, all of it final and seen by these guardians. */
  async funded(subjects: readonly Subject[], value = 500_000n): Promise<{ coin: VaultCoin; terms: DepositTerms }> {
    const { lock, terms } = await this.address();
    await this.rounds(subjects, 1);
    const { coin } = await this.pay(value, lock, true);
    await this.world.bitcoin.mine(DEEP);
    await this.until(subjects, () =>
      subjects.every((s) => s.guardian.viewOf(this.process)?.minted === value - this.terms.sweepFee),
    );
    await this.rounds(subjects);
    return { coin, terms };
  }

  withdraw(amount: bigint, recipient = this.world.purse.address, maxFee = 20_000n) {
    const tags = { Action: 'Withdraw', Quantity: String(amount), Recipient: recipient, 'Max-Fee': String(maxFee) };
    return this.world.message(ALICE_KEY, this.process, tags);
  }

  /** What M guardians have signed, as a relayer puts it together; null while they have not. */
  combined(view: ProcessView, proposal: OpenProposal): string | null {
    const set = [view.set, view.outgoing].find((s) => s?.epoch === proposal.epoch);
    if (!set || proposal.signatures.size < set.threshold) return null;
    const { spends, outputs, hex } = decodeProposal(proposal);
    const inputs = spends.map((s) => this.coins.get(s) as VaultCoin);
    const [change, ...paid] = outputs as [{ script: Uint8Array; value: bigint }, ...typeof outputs];
    const vault = keysOf(set);
    const lock = [set, view.set]
      .map((s) => vaultScript(keysOf(s), REGTEST))
      .find((l) => isSame(l.script, change.script));
    if (!lock) throw new Error('The change goes to no vault.');
    const batch = {
      vault,
      inputs,
      change: { lock, value: change.value },
      payouts: proposal.withdrawals.map((number, i) => {
        const { script, value } = paid[i] as { script: Uint8Array; value: bigint };
        return { number, script, amount: value, maxFee: 0n, fee: 0n };
      }),
    } as unknown as Batch;
    if (unsigned(batch).toHex() !== hex) throw new Error('The proposal is not put together as it was meant.');
    const partials = [...proposal.signatures].map(([g, text]) =>
      decodeSignatures(text, set.keys[set.guardians.indexOf(g)] ?? ''),
    );
    const signed = combine(batch, partials);
    const txid = Transaction.fromHex(signed).getId();
    this.coins.set(`${txid}:0`, { txid, vout: 0, value: change.value, lock, deposit: false });
    return signed;
  }

  /** Why guardians have said they do not sign a proposal. */
  whyNot(id: string | undefined): string[] {
    const lines = this.logged.map((line) => JSON.parse(line) as { msg?: string; proposal?: string; why?: string });
    const said = lines.filter((l) => l.msg === 'a proposal is not signed' && l.proposal === id);
    return [...new Set(said.map((l) => String(l.why)))];
  }

  /** The coin batches begin with, as a guardian has it. */
  async anchorOf({ database }: Subject): Promise<VaultCoin> {
    const rows: { outpoint: string }[] = await database.query(
      'select outpoint from bitcoin_anchor order by place desc limit 1',
    );
    return this.coin(rows[0]?.outpoint ?? '');
  }

  /** A coin of the vault, as it was paid or made. */
  coin(outpoint: string): VaultCoin {
    const coin = this.coins.get(outpoint);
    if (!coin) throw new Error(`${outpoint} is no coin of this scene.`);
    return coin;
  }

  /** What these guardians' keys sign when nobody asks AO: all of a coin to the payer. */
  stolen(coin: VaultCoin, by: readonly number[] = [0, 1]): string {
    const { vault, lock, name } = this;
    const changeTo = { ...lock, script: this.world.purse.script };
    const facts = { vault, changeTo, anchor: coin, coins: [], unconfirmed: 0, feeRate: 3_000n, reserve: 100_000n };
    const batch = planSweep(facts);
    return combine(
      batch,
      by.map((i) => signBatch(batch, secretOf(`${name} ${i}`))),
    );
  }

  /** The decision that these guardians take over, two of them for every transaction. */
  rotation(epoch: bigint, indices: readonly number[]): string {
    const guardians = indices.map(guardianAddress);
    const keys = indices.map((i) => publicKeyOf(secretOf(`${this.name} ${i}`)));
    return encodeDecision({ kind: 'rotate', epoch, threshold: 2, pauseThreshold: 1, guardians, keys });
  }

  /** Rounds until a proposal that is not `known` has enough signatures; put together. */
  async signedBatch(
    subjects: readonly Subject[],
    known: readonly string[] = [],
  ): Promise<{ hex: string; proposal: OpenProposal; txid: string }> {
    const [first] = subjects as [Subject];
    let found: OpenProposal | undefined;
    await this.until(subjects, () => {
      found = [...first.view.proposals.values()].find((p) => p.signatures.size >= 2 && !known.includes(p.id));
      return found !== undefined;
    });
    if (!found) throw new Error('Nothing was signed.');
    const hex = this.combined(first.view, found);
    if (!hex) throw new Error('Too few have signed.');
    return { hex, proposal: found, txid: Transaction.fromHex(hex).getId() };
  }

  private configOf(index: number, keyFile: string, change: Record<string, unknown>): GuardianConfig {
    const { chain = {}, ...others } = change;
    const home = {
      chain: {
        id: CHAIN,
        rpcUrls: [this.world.url],
        agreement: 1,
        batchMs: 0,
        reserve: '20000',
        ...(chain as object),
      },
      keyFile,
      assets: [{ id: `${CHAIN}/slip44:0`, process: this.process }],
    };
    return guardianSchema.parse({
      name: `guardian ${index}`,
      keyFile: '/nowhere',
      databaseUrl: 'postgres://nowhere',
      port: 0,
      gatewayUrl: this.gateway.url,
      scheduler: SCHEDULER.address,
      homes: [home],
      modules: [this.module],
      turnMs: 100,
      ...others,
    });
  }

  /** What a guardian says by hand. */
  async say(index: number, action: string, data: string, more: Record<string, string> = {}): Promise<void> {
    await this.world.message(guardianKey(index), this.process, { Action: action, ...more }, data);
  }
}
