/**
 * Submits releases that have their signatures, pays the gas and is repaid by the fee. It decides nothing: the vault refuses what is not signed
 * and what was paid before, so several relayers, restarts and repeats do no harm. The signed transaction is stored before it is sent.
 */
import { processToBytes32, verifyReleaseSignature, type ReleaseStatement, type VaultDomain } from '@isthmus/bridge';
import { decodeVaultLogs, encodeRelease, encodeReleaseBatch, vaultAbi, type ReleaseCall } from '@isthmus/chains';
import type { Logger } from '@isthmus/store';
import type { DataSource, EntityManager } from 'typeorm';
import {
  BaseError,
  ExecutionRevertedError,
  keccak256,
  parseTransaction,
  toHex,
  zeroAddress,
  type Hex,
  type PrivateKeyAccount,
  type PublicClient,
  type TransactionReceipt,
} from 'viem';
import type { AssetConfig, GatewayConfig } from '../config.js';
import { crashPoint } from '../crash-point.js';
import type { DecisionStore } from '../transfers/decision-store.js';
import type { StepRow, TransferStore } from '../transfers/transfer-store.js';
import { VaultDecisions } from './vault-decisions.js';

/** Releases in one transaction. */
const MAX_BATCH = 20;
/** Ready withdrawals looked at in one round. */
const LOOK_AT = 200;
/** What a relayer takes above the gas it expects to pay, in percent. */
const MARGIN_PERCENT = 20n;
/** The least rise a node accepts for a replacement is 10%. */
const BUMP_PERCENT = 25n;

interface Ready {
  id: Hex;
  asset: AssetConfig;
  statement: ReleaseStatement;
  signatures: Hex[];
}

interface Planned extends Ready {
  fee: bigint;
}

interface Submission {
  id: string;
  nonce: string;
  process: string;
  numbers: string[];
  raw: Hex;
  tx_hash: Hex;
  max_fee_per_gas: string;
  sent_at: Date;
  state: 'signed' | 'mined';
}

export class Relayer {
  private readonly domain: VaultDomain;
  private readonly vaultDecisions: VaultDecisions;
  /** Place of the last waiting withdrawal looked at. */
  private looked = '0';

  constructor(
    private readonly config: GatewayConfig,
    private readonly database: DataSource,
    private readonly store: TransferStore,
    decisions: DecisionStore,
    private readonly client: PublicClient,
    private readonly account: PrivateKeyAccount,
    private readonly log: Logger,
    chainId: number,
  ) {
    this.domain = { chainId, vault: config.chain.vault };
    this.vaultDecisions = new VaultDecisions(config.assets, decisions, client, this.domain);
  }

  get address(): Hex {
    return this.account.address;
  }

  /** Whose nonces these are. */
  private get lane(): [chain: string, account: Hex] {
    return [this.config.chain.id, this.account.address];
  }

  /** One round: see what became of what was sent, then send what is ready. */
  async step(): Promise<void> {
    await this.settle();
    await this.carryDecision();
    const ready = await this.ready();
    if (ready.length === 0) return;
    const planned = await this.plan(ready);
    if (planned.length > 0) await this.submit(planned.slice(0, MAX_BATCH));
  }

  /** Suggested Max-Fee of a withdrawal now: the expected cost with room for the price to double. */
  async suggestedMaxFee(asset: AssetConfig): Promise<bigint> {
    return asset.relayFee ?? (await this.cost(90_000n)) * 2n;
  }

  // --- what was sent

  private async settle(): Promise<void> {
    for (const submission of await this.unsettled()) {
      const receipt = await this.receipt(submission.tx_hash);
      if (receipt && submission.state === 'signed') await this.mined(submission, receipt);
      else if (!receipt && submission.state === 'mined') await this.dropped(submission);
    }
    await this.resend();
  }

  /** What was sent and is not over: without a receipt so far, or in a block that a reorg may still drop. */
  private unsettled(): Promise<Submission[]> {
    return this.database.query(
      `select id, nonce, process, numbers, raw, tx_hash, max_fee_per_gas, sent_at, state from submission s
       where chain = $1 and account = $2 and (state = 'signed' or state = 'mined' and exists (
         select 1 from transfer t where t.process = s.process and t.number = any(s.numbers) and t.state = 'submitted' and t.release_tx = s.tx_hash))
       order by nonce, id`,
      this.lane,
    );
  }

  private async mined(submission: Submission, receipt: TransactionReceipt): Promise<void> {
    const paid = this.paidIn(receipt, submission.process);
    const at = new Date();
    await this.store.transaction(async (manager) => {
      const taken: { process: string; numbers: string[] }[] = await manager.query(
        `with taken as (
           update submission set state = case when id = $3 then $5 else 'superseded' end
           where chain = $1 and account = $2 and nonce = $4 and state = 'signed' returning process, numbers)
         select process, numbers from taken`,
        [...this.lane, submission.id, submission.nonce, receipt.status === 'success' ? 'mined' : 'failed'],
      );
      const proof = { tx: receipt.transactionHash, block: String(receipt.blockNumber), gas: String(receipt.gasUsed) };
      for (const { process, numbers } of taken) {
        const ids = await this.store.withdrawalIds(manager, process, numbers.map(BigInt));
        const done = [...ids].flatMap(([n, id]) => (process === submission.process && paid.has(n) ? [id] : []));
        const left = [...ids.values()].filter((id) => !done.includes(id));
        await this.store.addSteps(manager, minedSteps(done, 'mined', at, proof));
        if (receipt.status !== 'success') await this.store.addSteps(manager, minedSteps(left, 'reverted', at, proof));
        await manager.query('update transfer set release_tx = $2 where id = any($1) and release_tx is null', [
          done,
          receipt.transactionHash,
        ]);
        // Skipped by the vault, reverted, or carried only by a transaction this one took the nonce of: ready again.
        await this.store.move(manager, left, ['submitted'], 'ready', at);
      }
      crashPoint('relay.before-mined');
    });
    crashPoint('relay.after-mined');
    this.store.announce();
    this.log.info(
      { tx: receipt.transactionHash, withdrawals: submission.numbers, paid: paid.size, status: receipt.status },
      'a transaction for the vault is mined',
    );
  }

  /** Numbers of the withdrawals a transaction has really paid: a batch passes over what is used or above a limit. */
  private paidIn(receipt: TransactionReceipt, process: string): Set<string> {
    const logs = receipt.logs
      .filter((l) => l.address.toLowerCase() === this.domain.vault.toLowerCase())
      .map((l) => ({ ...l, blockNumber: toHex(l.blockNumber), logIndex: toHex(l.logIndex) }));
    const released = decodeVaultLogs(this.domain.vault, logs).filter((l) => l.type === 'released');
    return new Set(released.filter((l) => l.process === process).map((l) => String(l.number)));
  }

  /** A reorg has dropped the block: the same bytes are sent again. */
  private async dropped(submission: Submission): Promise<void> {
    await this.store.transaction(async (manager) => {
      await manager.query(`update submission set state = 'signed' where id = $1 and state = 'mined'`, [submission.id]);
      await manager.query(
        `update transfer set release_tx = null where release_tx = $1 and state = 'submitted' and process = $2`,
        [submission.tx_hash, submission.process],
      );
    });
    this.log.warn({ tx: submission.tx_hash }, 'a reorg has dropped a release transaction; it is sent again');
  }

  /** Sends again what has no receipt: the same bytes, or when it is stuck a dearer transaction of the same nonce. */
  private async resend(): Promise<void> {
    const open: Submission[] = await this.database.query(
      `select distinct on (nonce) id, nonce, process, numbers, raw, tx_hash, max_fee_per_gas, sent_at, state from submission where chain = $1 and account = $2 and state = 'signed' order by nonce, id desc`,
      this.lane,
    );
    for (const submission of open) {
      if (Date.now() - submission.sent_at.getTime() < this.config.stuckMs) {
        await this.broadcast(submission.raw);
        continue;
      }
      const used = await this.client.getTransactionCount({ address: this.account.address });
      if (used > Number(submission.nonce)) await this.nonceTaken(submission);
      else await this.replace(submission);
    }
  }

  /** Another transaction of this account took the nonce, and none of ours did: what ours carried is ready again. */
  private async nonceTaken(submission: Submission): Promise<void> {
    const at = new Date();
    await this.store.transaction(async (manager) => {
      const taken: { process: string; numbers: string[] }[] = await manager.query(
        `with taken as (
           update submission set state = 'superseded' where chain = $1 and account = $2 and nonce = $3 and state = 'signed' returning process, numbers)
         select process, numbers from taken`,
        [...this.lane, submission.nonce],
      );
      for (const { process, numbers } of taken) {
        const ids = await this.store.withdrawalIds(manager, process, numbers.map(BigInt));
        await this.store.move(manager, [...ids.values()], ['submitted'], 'ready', at);
      }
    });
    this.log.warn(
      { nonce: submission.nonce, tx: submission.tx_hash },
      'the nonce of a release transaction was used by another',
    );
  }

  private async replace(stuck: Submission): Promise<void> {
    const before = parseTransaction(stuck.raw);
    const fees = await this.fees();
    const bumped = (BigInt(stuck.max_fee_per_gas) * (100n + BUMP_PERCENT)) / 100n;
    const maxFeePerGas = bumped > fees.maxFeePerGas ? bumped : fees.maxFeePerGas;
    const tipBefore = before.maxPriorityFeePerGas ?? 0n;
    const maxPriorityFeePerGas = (tipBefore * (100n + BUMP_PERCENT)) / 100n + 1n;
    const { to, data, gas } = before;
    if (!to || !data || gas === undefined) throw new Error(`Stored transaction ${stuck.tx_hash} is not a release.`);
    const call = {
      to,
      data,
      gas,
      nonce: Number(stuck.nonce),
      maxFeePerGas,
      maxPriorityFeePerGas: maxPriorityFeePerGas < maxFeePerGas ? maxPriorityFeePerGas : maxFeePerGas,
    };
    await this.signAndSend(call, stuck.process, stuck.numbers, 'replacement');
    this.log.warn(
      { nonce: stuck.nonce, replaced: stuck.tx_hash },
      'a stuck release transaction is replaced at a higher fee',
    );
  }

  // --- what was decided

  /** One decision at a time: the next may need the vault as this one leaves it. */
  private async carryDecision(): Promise<void> {
    const open: unknown[] = await this.database.query(
      `select 1 from submission where chain = $1 and account = $2 and state = 'signed' and numbers = '{}'`,
      this.lane,
    );
    if (open.length > 0) return;
    const next = await this.vaultDecisions.next();
    if (!next) return;
    const gas = await this.gasOf(next.data);
    if (gas === null) return; // another relayer was faster, or the vault has moved on: seen anew in the next round
    await this.send(next.data, gas, next.process);
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
    }[] = await this.database.query(
      `select t.id, t.waits, t.position, t.process, t.number, t.recipient, t.amount, t.max_fee, p.epoch,
         array(select s.proof ->> 'signature' from transfer_step s where s.transfer = t.id and s.kind = 'signed' and s.proof ->> 'epoch' = p.epoch::text) as signatures
       from transfer t join projection p on p.process = t.process
       where t.direction = 'withdrawal' and t.state = 'ready' and not p.paused
       order by t.waits is not null, t.position <= $1, t.position limit ${LOOK_AT}`,
      [this.looked],
    );
    // Those that wait are looked at in turn: however many cannot go, they keep none that can from going.
    this.looked = rows.findLast((r) => r.waits !== null)?.position ?? '0';
    return rows.flatMap((r) => {
      const asset = this.config.assets.find((a) => a.process === r.process);
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
      return [{ id: r.id, asset, statement, signatures: r.signatures }];
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
      const wait = (reason: string) => this.wait(one.id, reason);
      if (paused) await wait('paused');
      else if (statement.epoch !== epoch) await wait('rotation');
      else if (
        await this.client.readContract({
          ...vault,
          functionName: 'isReleased',
          args: [processToBytes32(statement.process), statement.number],
        })
      )
        await this.paidByOther(one.id);
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
    const gas = await this.gasOf(data);
    if (gas === null) {
      // What the vault would refuse must not keep others from going: alone first, and set aside when that is refused too.
      if (only) await this.wait(first.id, 'relayer');
      else await this.submit([first]);
      return;
    }
    await this.send(data, gas, first.statement.process, planned);
  }

  /** Signs and sends a call to the vault, with room above the gas it was estimated to take. */
  private async send(data: Hex, gas: bigint, process: string, planned: readonly Planned[] = []): Promise<void> {
    const fees = await this.fees();
    const nonce = await this.nextNonce();
    const call = { to: this.domain.vault, data, gas: (gas * 12n) / 10n, nonce, ...fees };
    const numbers = planned.map((p) => String(p.statement.number));
    await this.signAndSend(call, process, numbers, planned);
  }

  /** Gas a call takes, or null when it would revert. */
  private async gasOf(data: Hex): Promise<bigint | null> {
    const call = { account: this.account.address, to: this.domain.vault, data };
    return this.client.estimateGas(call).catch((error: unknown) => {
      if (error instanceof BaseError && error.walk((e) => e instanceof ExecutionRevertedError)) return null;
      throw error;
    });
  }

  private async signAndSend(
    call: { to: Hex; data: Hex; gas: bigint; nonce: number; maxFeePerGas: bigint; maxPriorityFeePerGas: bigint },
    process: string,
    numbers: readonly string[],
    planned: readonly Planned[] | 'replacement',
  ): Promise<void> {
    const raw = await this.account.signTransaction({ ...call, chainId: this.domain.chainId, type: 'eip1559' });
    const hash = keccak256(raw);
    const at = new Date();
    const kept = await this.store.transaction(async (manager) => {
      if (planned !== 'replacement' && !(await this.isFree(manager, call.nonce, planned))) return false;
      await manager.query(
        `insert into submission (chain, account, nonce, process, numbers, raw, tx_hash, max_fee_per_gas, state, sent_at) values ($1, $2, $3, $4, $5::bigint[], $6, $7, $8, 'signed', $9) on conflict do nothing`,
        [...this.lane, call.nonce, process, numbers, raw, hash, String(call.maxFeePerGas), at],
      );
      if (planned !== 'replacement') await this.markSubmitted(manager, planned, hash, at);
      return true;
    });
    if (!kept) return; // another gateway on this database was faster
    this.store.announce();
    crashPoint('relay.after-sign');
    await this.broadcast(raw);
    crashPoint('relay.after-broadcast');
    this.log.info({ tx: hash, withdrawals: numbers }, 'a transaction for the vault is sent');
  }

  /** Whether nobody else on this database has sent these releases, or another transaction with this nonce, meanwhile. */
  private async isFree(manager: EntityManager, nonce: number, planned: readonly Planned[]): Promise<boolean> {
    const [found]: { taken: boolean; ready: number }[] = await manager.query(
      `select exists (select 1 from submission where chain = $1 and account = $2 and nonce = $3 and state = 'signed') as taken,
         (select count(*)::int from transfer where id = any($4) and state = 'ready') as ready`,
      [...this.lane, nonce, planned.map((p) => p.id)],
    );
    return found?.taken === false && found.ready === planned.length;
  }

  private async markSubmitted(manager: EntityManager, planned: readonly Planned[], tx: Hex, at: Date): Promise<void> {
    const steps = planned.map((p) => ({
      transfer: p.id,
      key: `submitted ${tx}`,
      at,
      kind: 'submitted',
      proof: { tx, fee: String(p.fee) },
    }));
    await this.store.addSteps(manager, steps);
    const ids = planned.map((p) => p.id);
    await this.store.move(manager, ids, ['ready'], 'submitted', at);
  }

  /** A node that has the transaction, or has seen its nonce used, is no failure: the receipt tells. */
  private async broadcast(raw: Hex): Promise<void> {
    await this.client.sendRawTransaction({ serializedTransaction: raw }).catch((error: unknown) => {
      const text = error instanceof Error ? error.message : String(error);
      if (!/already known|already imported|nonce too low/i.test(text)) throw error;
    });
  }

  private async wait(id: Hex, reason: string): Promise<void> {
    await this.database.query(
      'update transfer set waits = $2, updated_at = now() where id = $1 and waits is distinct from $2',
      [id, reason],
    );
  }

  /** Someone else has submitted it: final attestation will complete the record. */
  private async paidByOther(id: Hex): Promise<void> {
    await this.store.transaction((manager) => this.store.move(manager, [id], ['ready'], 'submitted', new Date()));
    this.store.announce();
  }

  private async receipt(hash: Hex): Promise<TransactionReceipt | null> {
    return this.client.getTransactionReceipt({ hash }).catch((error: unknown) => {
      if (error instanceof Error && error.name === 'TransactionReceiptNotFoundError') return null;
      throw error;
    });
  }

  private async nextNonce(): Promise<number> {
    const pending = await this.client.getTransactionCount({ address: this.account.address, blockTag: 'pending' });
    const rows: { nonce: string | null }[] = await this.database.query(
      `select max(nonce) as nonce from submission where chain = $1 and account = $2 and state = 'signed'`,
      this.lane,
    );
    const ours = rows[0]?.nonce;
    return ours === null || ours === undefined ? pending : Math.max(pending, Number(ours) + 1);
  }

  private async feeOf(asset: AssetConfig): Promise<bigint> {
    if (asset.address !== zeroAddress) return asset.relayFee ?? 0n;
    return ((await this.cost(80_000n)) * (100n + MARGIN_PERCENT)) / 100n;
  }

  /** Wei that `gas` costs at the price expected now. */
  private async cost(gas: bigint): Promise<bigint> {
    const block = await this.client.getBlock();
    const { maxPriorityFeePerGas } = await this.fees();
    return gas * ((block.baseFeePerGas ?? 0n) + maxPriorityFeePerGas);
  }

  private async fees(): Promise<{ maxFeePerGas: bigint; maxPriorityFeePerGas: bigint }> {
    const { maxFeePerGas, maxPriorityFeePerGas } = await this.client.estimateFeesPerGas();
    return { maxFeePerGas, maxPriorityFeePerGas };
  }
}

function minedSteps(
  ids: readonly string[],
  kind: 'mined' | 'reverted',
  at: Date,
  proof: { tx: Hex; block: string; gas: string },
): StepRow[] {
  return ids.map((transfer) => ({ transfer, key: `mined ${proof.tx}`, at, kind, proof }));
}

function callOf(statement: ReleaseStatement): ReleaseCall {
  const { process, number, asset, recipient, amount, maxFee } = statement;
  return { process: processToBytes32(process), number, asset, recipient, amount, maxFee };
}
