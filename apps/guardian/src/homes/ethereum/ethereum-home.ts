/**
 * The home chain of a guardian's assets, as this guardian sees it for itself: what has happened at the vault for good, what the vault has, and
 * what it would take. Everything is asked of the guardian's own sources, at the height they agree is final.
 */
import {
  aoAddressFromBytes,
  BridgeError,
  chainIdOf,
  decisionDigest,
  depositId,
  depositReference,
  encodeDepositLine,
  encodeReleaseLine,
  isEthereumAddress,
  isListedAs,
  packSignature,
  releaseDigest,
  releaseTypedData,
  type Decision,
  type OpenWithdrawal,
  type ProcessView,
  type ReleaseStatement,
  type VaultDomain,
  type VaultListing,
} from '@isthmus/bridge';
import type { DepositedLog, ReleasedLog, RpcPool, VaultCursor, VaultWatcher } from '@isthmus/chains';
import type { Logger } from '@isthmus/store';
import {
  decodeFunctionResult,
  encodeFunctionData,
  erc20Abi,
  getAddress,
  keccak256,
  stringToHex,
  zeroAddress,
  type Hex,
  type PrivateKeyAccount,
} from 'viem';
import type { EthereumHomeConfig } from '../../config.js';
import type { Asset, ContractHome } from '../home.js';
import type { DepositRow, Ledger, ReleaseRow } from '../../ledger.js';

/** The vault has another guardian set for an epoch than AO has decided: people must look. */
export class VaultDiverged extends Error {
  readonly code = 'vault-diverged';
  constructor(epoch: bigint) {
    super(`The vault's guardian set of epoch ${epoch} is not the one decided on AO.`);
    this.name = 'VaultDiverged';
  }
}

type EthereumAsset = EthereumHomeConfig['assets'][number];

export interface EthereumHomeParts {
  config: EthereumHomeConfig;
  ledger: Ledger;
  watcher: VaultWatcher;
  /** The watcher's sources, for what a token says itself. */
  pool: Pick<RpcPool, 'call'>;
  log: Logger;
}

export class EthereumHome implements ContractHome {
  readonly custody = 'contract';
  private readonly byAddress: ReadonlyMap<string, EthereumAsset>;
  private readonly byProcess: ReadonlyMap<string, EthereumAsset>;
  private readonly domain: VaultDomain;
  private readonly scan: string;
  private cursor: VaultCursor | null = null;
  private complete = false;
  private readonly atHeight = new Map<string, Promise<unknown>>();

  constructor(private readonly parts: EthereumHomeParts) {
    const { chain, assets } = parts.config;
    this.byAddress = new Map(assets.map((a) => [a.address.toLowerCase(), a]));
    this.byProcess = new Map(assets.map((a) => [a.process, a]));
    this.domain = { chainId: chainIdOf(chain.id), vault: chain.vault };
    this.scan = scanName(parts.config);
  }

  /** The newest final block whose events are known. */
  get height(): bigint {
    return this.cursor?.height ?? 0n;
  }

  /** Whether the last look at the chain reached its final head, and nothing was wrong with it. */
  get watched(): boolean {
    return this.complete;
  }

  /** Scans final blocks until none is left. @throws AgreementLost, FinalityViolated, SequenceGap, VaultLogError */
  async watch(): Promise<void> {
    const { config, ledger, watcher, log } = this.parts;
    this.complete = false;
    this.cursor ??= (await ledger.cursor(this.scan)) ?? (await watcher.begin(BigInt(config.chain.deployBlock)));
    for (let scan = await watcher.step(this.cursor); scan; scan = await watcher.step(this.cursor)) {
      const deposits = scan.logs.filter((l) => l.type === 'deposited').map((l) => this.depositRow(l));
      const releases = scan.logs.filter((l) => l.type === 'released').flatMap((l) => this.releaseRow(l));
      await ledger.keepScan(this.scan, scan.cursor, deposits, releases);
      this.cursor = scan.cursor;
      this.atHeight.clear();
      if (deposits.length + releases.length > 0)
        log.info(
          { height: String(scan.cursor.height), deposits: deposits.length, releases: releases.length },
          'scanned',
        );
    }
    this.complete = true;
  }

  /** Whether every deposit the process has minted is known here. */
  hasSeen(view: ProcessView): boolean {
    return this.complete && this.cursor !== null && view.highestSequence < this.cursor.nextSequence;
  }

  epoch(): Promise<bigint> {
    return this.vault<bigint>('epoch');
  }

  paused(): Promise<boolean> {
    return this.vault<boolean>('paused');
  }

  decisions(): Promise<bigint> {
    return this.vault<bigint>('decisions');
  }

  /** Whether the vault is already as a decision wants it. @throws VaultDiverged */
  async isAs(decision: Decision, asset: Asset): Promise<boolean> {
    switch (decision.kind) {
      case 'pause':
        return this.paused();
      case 'unpause':
        return !(await this.paused());
      case 'rotate': {
        const epoch = await this.epoch();
        if (epoch !== decision.epoch) return epoch > decision.epoch;
        const guardians = await this.vault<readonly Hex[]>('guardians');
        if (guardians.join() !== decision.guardians.join()) throw new VaultDiverged(epoch);
        return true;
      }
      case 'list':
        return isListedAs(decision, await this.vault<VaultListing>('listing', this.addressOf(asset)));
    }
  }

  /** What the vault has for an asset: what it counts, or less when a token has taken some away (E11). */
  async holdings(asset: Asset): Promise<bigint> {
    const address = this.addressOf(asset);
    const locked = await this.vault<bigint>('locked', address);
    if (address === zeroAddress) return locked;
    const balance = await this.memo(`balance ${address}`, async (height) => {
      const data = encodeFunctionData({ abi: erc20Abi, functionName: 'balanceOf', args: [this.domain.vault] });
      const answer = await this.parts.pool.call(address, data, height);
      return decodeFunctionResult({ abi: erc20Abi, functionName: 'balanceOf', data: answer });
    });
    return balance < locked ? balance : locked;
  }

  /** Whether the vault could pay an asset there. */
  canPay(recipient: string, asset: Asset): boolean {
    return isEthereumAddress(recipient) && recipient !== this.addressOf(asset) && recipient !== this.domain.vault;
  }

  vaultOf(): string {
    return this.domain.vault;
  }

  /** What a release's signature is over; equal digests mean equal content. */
  releaseDigest(asset: Asset, view: ProcessView, withdrawal: OpenWithdrawal): Hex {
    return releaseDigest(this.domain, this.statementOf(asset, view, withdrawal));
  }

  /** Signs a release for the vault, packed with the guardian's index. */
  async signRelease(
    account: PrivateKeyAccount,
    index: number,
    asset: Asset,
    view: ProcessView,
    withdrawal: OpenWithdrawal,
  ): Promise<Hex> {
    const typed = releaseTypedData(this.domain, this.statementOf(asset, view, withdrawal));
    return packSignature(index, await account.signTypedData(typed));
  }

  /** Signs a decision for the vault, as it stands there now. */
  async signDecision(
    account: PrivateKeyAccount,
    index: number,
    decision: Decision,
    asset: Asset,
    { epoch, nonce }: { epoch: bigint; nonce: bigint },
  ): Promise<Hex> {
    const place = { asset: this.addressOf(asset), epoch, nonce };
    return packSignature(index, await account.sign({ hash: decisionDigest(this.domain, decision, place) }));
  }

  private statementOf(asset: Asset, view: ProcessView, w: OpenWithdrawal): ReleaseStatement {
    return {
      process: asset.process,
      number: w.number,
      asset: this.addressOf(asset),
      recipient: getAddress(w.recipient),
      amount: w.amount,
      maxFee: w.maxFee,
      epoch: view.set.epoch,
    };
  }

  private addressOf({ id, process }: Asset): Hex {
    const asset = this.byProcess.get(process);
    if (!asset) throw new Error(`${id} is not locked on ${this.parts.config.chain.id}.`);
    return asset.address;
  }

  private depositRow(log: DepositedLog): DepositRow {
    const { chain } = this.parts.config;
    const reference = depositReference({ chain: chain.id, vault: this.domain.vault, sequence: log.sequence });
    const id = depositId(reference);
    const asset = this.byAddress.get(log.asset.toLowerCase());
    const line = asset && depositLine(log, id, reference);
    if (asset && line) return { id, process: asset.process, sequence: log.sequence, line };
    const why = asset ? 'nobody on AO can be credited' : 'its asset is not configured';
    this.parts.log.warn({ transfer: id, asset: log.asset, why }, 'a deposit is kept as seen, and not attested');
    return { id, process: null, sequence: log.sequence, line: '' };
  }

  private releaseRow(log: ReleasedLog): ReleaseRow[] {
    const asset = this.byAddress.get(log.asset.toLowerCase());
    if (!asset || asset.process !== log.process) return [];
    const { number, txHash, fee, held, amount } = log;
    const line = encodeReleaseLine({ number, txHash, fee, outcome: held ? 'held' : 'paid' });
    return [{ process: log.process, number, line, amount }];
  }

  private vault<T>(
    view: 'epoch' | 'paused' | 'decisions' | 'locked' | 'listing' | 'guardians',
    ...args: readonly unknown[]
  ): Promise<T> {
    return this.memo([view, ...args].join(' '), (height) => this.parts.watcher.read<T>(view, args, height));
  }

  /** What stood at a final height stands for good: it is asked for once. */
  private memo<T>(name: string, ask: (height: bigint) => Promise<T>): Promise<T> {
    const known = this.atHeight.get(name) as Promise<T> | undefined;
    if (known) return known;
    const asked = ask(this.height);
    this.atHeight.set(name, asked);
    asked.catch(() => this.atHeight.delete(name));
    return asked;
  }
}

/** Names what is scanned: another vault, or another asset, is read from the vault's first block on. What is known already stays as it is. */
function scanName({ chain, assets }: EthereumHomeConfig): string {
  const known = assets.map((a) => `${a.address} ${a.process}`).toSorted();
  return `${chain.id}:${chain.vault}:${keccak256(stringToHex(known.join('\n')))}`;
}

/** The line to attest, or null when there is nobody to credit (the zero address) or the deposit has no form here: it must stop no other. */
function depositLine(log: DepositedLog, id: DepositRow['id'], reference: string): string | null {
  const tags = log.tags.length === 0 ? '-' : Buffer.from(log.tags).toString('hex');
  const { txHash, sender, amount } = log;
  try {
    const recipient = aoAddressFromBytes(log.recipient);
    return encodeDepositLine({ id, reference, txHash, sender, recipient, amount, tags });
  } catch (error) {
    if (error instanceof BridgeError) return null;
    throw error;
  }
}
