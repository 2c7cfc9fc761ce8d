/**
 * Gets calls to the vault onto the chain: signed and stored before they are sent, sent again until they have a receipt, replaced when they
 * are stuck, sent anew when a reorg drops them. What becomes of the withdrawals a call carries is written in the same transaction.
 */
import type { VaultDomain } from '@isthmus/bridge';
import { decodeVaultLogs } from '@isthmus/chains';
import type { EntityManager } from 'typeorm';
import {
  BaseError,
  ExecutionRevertedError,
  keccak256,
  parseTransaction,
  toHex,
  type Hex,
  type PrivateKeyAccount,
  type PublicClient,
  type TransactionReceipt,
} from 'viem';
import { crashPoint } from '../../crash-point.js';
import type { StepRow } from '../../transfers/transfer-store.js';
import type { HomeParts } from '../home.js';

/** The least rise a node accepts for a replacement is 10%. */
const BUMP_PERCENT = 25n;

/**
 * What a release may take beyond its estimate: a recipient that burns the gas it is given (RECIPIENT_GAS of the vault) only when it is paid
 * in earnest, and the claim that is then written. Gas that is not used costs nothing.
 */
const BURN_GAS = 80_000n;

/** A withdrawal that goes with a call, and what the relayer takes for it, in base units. */
export interface Outgoing {
  id: Hex;
  number: bigint;
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

export class Submitter {
  constructor(
    private readonly chain: string,
    private readonly domain: VaultDomain,
    private readonly parts: HomeParts,
    private readonly client: PublicClient,
    private readonly account: PrivateKeyAccount,
  ) {}

  /** Whose nonces these are. */
  private get lane(): [chain: string, account: Hex] {
    return [this.chain, this.account.address];
  }

  /** Sees what became of what was sent, and sends again what has no receipt. */
  async settle(): Promise<void> {
    for (const submission of await this.unsettled()) {
      const receipt = await this.receipt(submission.tx_hash);
      if (receipt && submission.state === 'signed') await this.mined(submission, receipt);
      else if (!receipt && submission.state === 'mined') await this.dropped(submission);
    }
    await this.resend();
  }

  /** What was sent and is not over: without a receipt so far, or in a block that a reorg may still drop. */
  private unsettled(): Promise<Submission[]> {
    return this.parts.database.query(
      `select id, nonce, process, numbers, raw, tx_hash, max_fee_per_gas, sent_at, state from submission
       where chain = $1 and account = $2 and (state = 'signed' or state = 'mined' and tx_hash = any(array(
         select release_tx from transfer where state = 'submitted' and release_tx is not null)))
       order by nonce, id`,
      this.lane,
    );
  }

  private async mined(submission: Submission, receipt: TransactionReceipt): Promise<void> {
    const paid = this.paidIn(receipt, submission.process);
    const at = new Date();
    await this.parts.store.transaction(async (manager) => {
      const taken: { process: string; numbers: string[] }[] = await manager.query(
        `with taken as (
           update submission set state = case when id = $3 then $5 else 'superseded' end
           where chain = $1 and account = $2 and nonce = $4 and state = 'signed' returning process, numbers)
         select process, numbers from taken`,
        [...this.lane, submission.id, submission.nonce, receipt.status === 'success' ? 'mined' : 'failed'],
      );
      const proof = { tx: receipt.transactionHash, block: String(receipt.blockNumber), gas: String(receipt.gasUsed) };
      for (const { process, numbers } of taken) {
        const ids = await this.parts.store.withdrawalIds(manager, process, numbers.map(BigInt));
        const done = [...ids].flatMap(([n, id]) => (process === submission.process && paid.has(n) ? [id] : []));
        const left = [...ids.values()].filter((id) => !done.includes(id));
        await this.parts.store.addSteps(manager, minedSteps(done, 'mined', at, proof));
        if (receipt.status !== 'success')
          await this.parts.store.addSteps(manager, minedSteps(left, 'reverted', at, proof));
        await manager.query('update transfer set release_tx = $2 where id = any($1) and release_tx is null', [
          done,
          receipt.transactionHash,
        ]);
        // Skipped by the vault, reverted, or carried only by a transaction this one took the nonce of: ready again.
        await this.parts.store.move(manager, left, ['submitted'], 'ready', at);
      }
      crashPoint('relay.before-mined');
    });
    crashPoint('relay.after-mined');
    this.parts.store.announce();
    this.parts.log.info(
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
    await this.parts.store.transaction(async (manager) => {
      await manager.query(`update submission set state = 'signed' where id = $1 and state = 'mined'`, [submission.id]);
      await manager.query(
        `update transfer set release_tx = null where release_tx = $1 and state = 'submitted' and process = $2`,
        [submission.tx_hash, submission.process],
      );
    });
    this.parts.log.warn({ tx: submission.tx_hash }, 'a reorg has dropped a release transaction; it is sent again');
  }

  /** Sends again what has no receipt: the same bytes, or when it is stuck a dearer transaction of the same nonce. */
  private async resend(): Promise<void> {
    const open: Submission[] = await this.parts.database.query(
      `select distinct on (nonce) id, nonce, process, numbers, raw, tx_hash, max_fee_per_gas, sent_at, state from submission where chain = $1 and account = $2 and state = 'signed' order by nonce, id desc`,
      this.lane,
    );
    for (const submission of open) {
      if (Date.now() - submission.sent_at.getTime() < this.parts.stuckMs) {
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
    await this.parts.store.transaction(async (manager) => {
      const taken: { process: string; numbers: string[] }[] = await manager.query(
        `with taken as (
           update submission set state = 'superseded' where chain = $1 and account = $2 and nonce = $3 and state = 'signed' returning process, numbers)
         select process, numbers from taken`,
        [...this.lane, submission.nonce],
      );
      for (const { process, numbers } of taken) {
        const ids = await this.parts.store.withdrawalIds(manager, process, numbers.map(BigInt));
        await this.parts.store.move(manager, [...ids.values()], ['submitted'], 'ready', at);
      }
    });
    this.parts.log.warn(
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
    this.parts.log.warn(
      { nonce: stuck.nonce, replaced: stuck.tx_hash },
      'a stuck release transaction is replaced at a higher fee',
    );
  }

  /** Signs a call to the vault, keeps it, and sends it, with room above the gas it was estimated to take. False when the vault would refuse it. */
  async send(data: Hex, process: string, releases: readonly Outgoing[] = []): Promise<boolean> {
    const gas = await this.gasOf(data);
    if (gas === null) return false;
    const fees = await this.fees();
    const nonce = await this.nextNonce();
    const room = BURN_GAS * BigInt(releases.length);
    const call = { to: this.domain.vault, data, gas: (gas * 12n) / 10n + room, nonce, ...fees };
    const numbers = releases.map((p) => String(p.number));
    await this.signAndSend(call, process, numbers, releases);
    return true;
  }

  /** Whether a call that pays no withdrawal, a decision that is, has been sent and is not over. */
  async hasOpenDecision(): Promise<boolean> {
    const open: unknown[] = await this.parts.database.query(
      `select 1 from submission where chain = $1 and account = $2 and state = 'signed' and numbers = '{}'`,
      this.lane,
    );
    return open.length > 0;
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
    releases: readonly Outgoing[] | 'replacement',
  ): Promise<void> {
    const raw = await this.account.signTransaction({ ...call, chainId: this.domain.chainId, type: 'eip1559' });
    const hash = keccak256(raw);
    const at = new Date();
    const kept = await this.parts.store.transaction(async (manager) => {
      if (releases !== 'replacement' && !(await this.isFree(manager, call.nonce, releases))) return false;
      await manager.query(
        `insert into submission (chain, account, nonce, process, numbers, raw, tx_hash, max_fee_per_gas, state, sent_at) values ($1, $2, $3, $4, $5::bigint[], $6, $7, $8, 'signed', $9) on conflict do nothing`,
        [...this.lane, call.nonce, process, numbers, raw, hash, String(call.maxFeePerGas), at],
      );
      if (releases !== 'replacement') await this.markSubmitted(manager, releases, hash, at);
      return true;
    });
    if (!kept) return; // another gateway on this database was faster
    this.parts.store.announce();
    crashPoint('relay.after-sign');
    await this.broadcast(raw);
    crashPoint('relay.after-broadcast');
    this.parts.log.info({ tx: hash, withdrawals: numbers }, 'a transaction for the vault is sent');
  }

  /** Whether nobody else on this database has sent these releases, or another transaction with this nonce, meanwhile. */
  private async isFree(manager: EntityManager, nonce: number, releases: readonly Outgoing[]): Promise<boolean> {
    const [found]: { taken: boolean; ready: number }[] = await manager.query(
      `select exists (select 1 from submission where chain = $1 and account = $2 and nonce = $3 and state = 'signed') as taken,
         (select count(*)::int from transfer where id = any($4) and state = 'ready') as ready`,
      [...this.lane, nonce, releases.map((p) => p.id)],
    );
    return found?.taken === false && found.ready === releases.length;
  }

  private async markSubmitted(manager: EntityManager, releases: readonly Outgoing[], tx: Hex, at: Date): Promise<void> {
    const steps = releases.map((p) => ({
      transfer: p.id,
      key: `submitted ${tx}`,
      at,
      kind: 'submitted',
      proof: { tx, fee: String(p.fee) },
    }));
    await this.parts.store.addSteps(manager, steps);
    const ids = releases.map((p) => p.id);
    await this.parts.store.move(manager, ids, ['ready'], 'submitted', at);
  }

  /** A node that has the transaction, or has seen its nonce used, is no failure: the receipt tells. */
  private async broadcast(raw: Hex): Promise<void> {
    await this.client.sendRawTransaction({ serializedTransaction: raw }).catch((error: unknown) => {
      const text = error instanceof Error ? error.message : String(error);
      if (!/already known|already imported|nonce too low/i.test(text)) throw error;
    });
  }

  private async receipt(hash: Hex): Promise<TransactionReceipt | null> {
    return this.client.getTransactionReceipt({ hash }).catch((error: unknown) => {
      if (error instanceof Error && error.name === 'TransactionReceiptNotFoundError') return null;
      throw error;
    });
  }

  private async nextNonce(): Promise<number> {
    const pending = await this.client.getTransactionCount({ address: this.account.address, blockTag: 'pending' });
    const rows: { nonce: string | null }[] = await this.parts.database.query(
      `select max(nonce) as nonce from submission where chain = $1 and account = $2 and state = 'signed'`,
      this.lane,
    );
    const ours = rows[0]?.nonce;
    return ours === null || ours === undefined ? pending : Math.max(pending, Number(ours) + 1);
  }

  /** Wei that `gas` costs at the price expected now. */
  async cost(gas: bigint): Promise<bigint> {
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
