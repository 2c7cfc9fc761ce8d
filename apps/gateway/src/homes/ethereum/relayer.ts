/**
 * Submits releases that have their signatures, pays the gas and is repaid by the fee. It decides nothing: the vault refuses what is not signed
 * and what was paid before, so several relayers, restarts and repeats do no harm. The signed transaction is stored before it is sent.
 */
import {
  chainIdOf,
  processToBytes32,
  verifyReleaseSignature,
  type ReleaseStatement,
  type VaultDomain,
} from '@isthmus/bridge';
import { encodeRelease, encodeReleaseBatch, vaultAbi, type ReleaseCall } from '@isthmus/chains';
import { zeroAddress, type Hex, type PrivateKeyAccount, type PublicClient } from 'viem';
import type { HomeParts } from '../home.js';
import type { EthereumAssetConfig, EthereumHomeConfig } from './config.js';
import { Submitter } from './submitter.js';
import { VaultDecisions } from './vault-decisions.js';

/** Releases in one transaction. */
const MAX_BATCH = 20;
/** Ready withdrawals looked at in one round. */
const LOOK_AT = 200;
/** Withdrawals others have submitted, looked at in one round. */
const LOOK_AT_OTHERS = 20;
/** A withdrawal whose transactions revert is tried again after this, twice as long each time, up to the second. */
const RETRY_MS = 30_000;
const MAX_RETRY_MS = 3_600_000;
/** What a relayer takes above the gas it expects to pay, in percent. */
const MARGIN_PERCENT = 20n;

interface Ready {
  id: Hex;
  asset: EthereumAssetConfig;
  statement: ReleaseStatement;
  signatures: Hex[];
  /** How many transactions that carried it have reverted. */
  reverts: number;
}

interface Planned extends Ready {
  fee: bigint;
}

export class Relayer {
  private readonly domain: VaultDomain;
  private readonly vaultDecisions: VaultDecisions;
  private readonly submitter: Submitter;
  /** Place of the last waiting withdrawal looked at. */
  private looked = '0';

  constructor(
    private readonly home: EthereumHomeConfig,
    private readonly parts: HomeParts,
    private readonly client: PublicClient,
    account: PrivateKeyAccount,
  ) {
    const { id, vault } = home.chain;
    this.domain = { chainId: chainIdOf(id), vault };
    this.submitter = new Submitter(id, this.domain, parts, client, account);
    this.vaultDecisions = new VaultDecisions(home, parts.decisions, client, this.domain);
  }

  /** One round: see what became of what was sent, then send what is ready. */
  async step(): Promise<void> {
    await this.submitter.settle();
    await this.reopen();
    await this.carryDecision();
    const ready = await this.ready();
    if (ready.length === 0) return;
    const planned = await this.plan(ready);
    if (planned.length > 0) await this.submit(planned.slice(0, MAX_BATCH));
  }

  /** Suggested Max-Fee of a withdrawal now: the expected cost with room for the price to double. */
  async suggestedMaxFee(asset: EthereumAssetConfig): Promise<bigint> {
    return asset.relayFee ?? (await this.submitter.cost(90_000n)) * 2n;
  }

  /** Whose withdrawals are paid here. */
  private get processes(): string[] {
    return this.home.assets.map((a) => a.process);
  }

  // --- what was decided

  /** One decision at a time: the next may need the vault as this one leaves it. */
  private async carryDecision(): Promise<void> {
    if (await this.submitter.hasOpenDecision()) return;
    const next = await this.vaultDecisions.next();
    // What the vault refuses now was carried by another relayer meanwhile, or waits for newer signatures: seen anew in the next round.
    if (next) await this.submitter.send(next.data, next.process);
  }

  // --- what is ready

  private async ready(): Promise<Ready[]> {
    const rows: {
      id: Hex;
      process: string;
      number: string;
      recipient: Hex;
      amount: string;
      max_fee: string;
      epoch: string;
      signatures: Hex[];
      waits: string | null;
      position: string;
      reverts: number;
    }[] = await this.parts.database.query(
      `select t.id, t.waits, t.position, t.process, t.number, t.recipient, t.amount, t.max_fee, p.epoch,
         array(select s.proof ->> 'signature' from transfer_step s where s.transfer = t.id and s.kind = 'signed' and s.proof ->> 'epoch' = p.epoch::text) as signatures, f.reverts
       from transfer t join projection p on p.process = t.process cross join lateral (
         select count(*)::int as reverts, max(s.at) as last from transfer_step s where s.transfer = t.id and s.kind = 'reverted') f
       where t.direction = 'withdrawal' and t.state = 'ready' and t.process = any($4) and not p.paused
         and (f.reverts < 2 or f.last < now() - least($2 * power(2, f.reverts - 2), $3) * interval '1 millisecond')
       order by t.waits is not null, t.position <= $1, t.position limit ${LOOK_AT}`,
      [this.looked, RETRY_MS, MAX_RETRY_MS, this.processes],
    );
    // Those that wait are looked at in turn: however many cannot go, they keep none that can from going.
    this.looked = rows.findLast((r) => r.waits !== null)?.position ?? '0';
    return rows.flatMap((r) => {
      const asset = this.home.assets.find((a) => a.process === r.process);
      if (!asset) return [];
      const statement = {
        process: r.process,
        number: BigInt(r.number),
        asset: asset.address,
        recipient: r.recipient,
        amount: BigInt(r.amount),
        maxFee: BigInt(r.max_fee),
        epoch: BigInt(r.epoch),
      };
      return [{ id: r.id, asset, statement, signatures: r.signatures, reverts: r.reverts }];
    });
  }

  /** What can go now, of one asset, with its fee; what cannot gets its reason. */
  private async plan(ready: readonly Ready[]): Promise<Planned[]> {
    const vault = { address: this.domain.vault, abi: vaultAbi } as const;
    const [guardians, threshold, epoch, paused] = await Promise.all([
      this.client.readContract({ ...vault, functionName: 'guardians' }),
      this.client.readContract({ ...vault, functionName: 'threshold' }),
      this.client.readContract({ ...vault, functionName: 'epoch' }),
      this.client.readContract({ ...vault, functionName: 'paused' }),
    ]);
    const planned: Planned[] = [];
    const available = new Map<Hex, bigint>();
    for (const one of ready) {
      const { statement, asset } = one;
      if (planned.length === MAX_BATCH || (planned[0] && planned[0].asset.id !== asset.id)) break;
      // What was in a transaction that failed goes alone: it may have been the cause.
      if (planned.length > 0 && (one.reverts > 0 || (planned[0]?.reverts ?? 0) > 0)) continue;
      const wait = (reason: string) => this.wait(one.id, reason);
      if (paused) await wait('paused');
      else if (statement.epoch !== epoch) await wait('rotation');
      else if (await this.isReleased(statement.process, statement.number)) await this.paidByOther(one.id);
      else {
        const good = await this.goodSignatures(one, guardians, threshold);
        if (!available.has(asset.address)) {
          const outflow = await this.client.readContract({ ...vault, functionName: 'outflow', args: [asset.address] });
          available.set(asset.address, outflow[1]);
        }
        const left = available.get(asset.address) ?? 0n;
        const fee = await this.feeOf(asset);
        if (!good) await wait('signatures');
        else if (statement.amount > left) await wait('limit');
        else if (fee > statement.maxFee) await wait('fee-too-low');
        else {
          available.set(asset.address, left - statement.amount);
          planned.push({ ...one, signatures: good, fee });
        }
      }
    }
    return planned;
  }

  /** Exactly `threshold` signatures that are really by their guardians, or null: a liar's garbage is passed over. */
  private async goodSignatures(
    { statement, signatures }: Ready,
    guardians: readonly Hex[],
    threshold: number,
  ): Promise<Hex[] | null> {
    const checked = await Promise.all(
      signatures.map(async (s) => ((await verifyReleaseSignature(this.domain, statement, s, guardians)) ? s : null)),
    );
    const good = checked.filter((s) => s !== null);
    return good.length >= threshold ? good.slice(0, threshold) : null;
  }

  private async submit(planned: readonly Planned[]): Promise<void> {
    const [first] = planned;
    if (!first) return;
    const calls = planned.map((p) => ({ release: callOf(p.statement), fee: p.fee, signatures: p.signatures }));
    const only = calls.length === 1 ? calls[0] : undefined;
    const data = only ? encodeRelease(only.release, only.fee, only.signatures) : encodeReleaseBatch(calls);
    const outgoing = planned.map(({ id, statement, fee }) => ({ id, number: statement.number, fee }));
    if (await this.submitter.send(data, first.statement.process, outgoing)) return;
    // What the vault would refuse must not keep others from going: alone first, and set aside when that is refused too.
    if (only) await this.wait(first.id, 'relayer');
    else await this.submit([first]);
  }

  private async wait(id: Hex, reason: string): Promise<void> {
    await this.parts.database.query(
      'update transfer set waits = $2, updated_at = now() where id = $1 and waits is distinct from $2',
      [id, reason],
    );
  }

  /** What someone else had submitted, and a reorg has taken back, is ready again. */
  private async reopen(): Promise<void> {
    const rows: { id: Hex; process: string; number: string }[] = await this.parts.database.query(
      `select id, process, number from transfer t
       where direction = 'withdrawal' and state = 'submitted' and process = any($1) and release_tx is null and not exists (
         select 1 from submission s where s.process = t.process and s.numbers @> array[t.number] and s.state in ('signed', 'mined'))
       order by position limit ${LOOK_AT_OTHERS}`,
      [this.processes],
    );
    for (const { id, process, number } of rows) {
      if (await this.isReleased(process, BigInt(number))) continue;
      await this.parts.store.transaction((manager) =>
        this.parts.store.move(manager, [id], ['submitted'], 'ready', new Date()),
      );
      this.parts.store.announce();
    }
  }

  private isReleased(process: string, number: bigint): Promise<boolean> {
    const args = [processToBytes32(process), number] as const;
    return this.client.readContract({ address: this.domain.vault, abi: vaultAbi, functionName: 'isReleased', args });
  }

  /** Someone else has submitted it: final attestation will complete the record. */
  private async paidByOther(id: Hex): Promise<void> {
    await this.parts.store.transaction((manager) =>
      this.parts.store.move(manager, [id], ['ready'], 'submitted', new Date()),
    );
    this.parts.store.announce();
  }

  private async feeOf(asset: EthereumAssetConfig): Promise<bigint> {
    if (asset.address !== zeroAddress) return asset.relayFee ?? 0n;
    return ((await this.submitter.cost(80_000n)) * (100n + MARGIN_PERCENT)) / 100n;
  }
}

function callOf(statement: ReleaseStatement): ReleaseCall {
  const { process, number, asset, recipient, amount, maxFee } = statement;
  return { process: processToBytes32(process), number, asset, recipient, amount, maxFee };
}
