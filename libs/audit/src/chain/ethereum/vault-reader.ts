/** The auditor's own reading of a vault: its logs in final blocks, each once, in order, and its state at one block. */
import { getAddress, zeroAddress, type PublicClient } from 'viem';
import type { ChainSink, ChainState, HomeChain, Position } from '../../domain/chain.js';
import { AuditError } from '../../domain/error.js';
import type { Hex, VaultState } from '../../domain/facts.js';
import { processOf, recipientOf, tagsOf } from '../../domain/forms.js';
import { openClient, Sources } from '../sources.js';
import { tokenViews, vaultEvents, vaultViews } from './vault-abi.js';

/** Blocks asked for at once to begin with, and at most; halved when a source refuses: it may bound blocks, logs or bytes. */
const FIRST_RANGE = 2000n;
const MOST_RANGE = 50_000n;
/** Logs in one answer above which the range is not made longer. */
const MANY_LOGS = 2000;
/** Accounts with claimable money that are looked at. Each is one question; no real vault comes near. */
const MAX_CLAIMANTS = 10_000;
/** Questions at once. */
const TOGETHER = 16;

export interface VaultOptions {
  rpcUrls: readonly string[];
  /** CAIP-2 */
  chain: string;
  vault: Hex;
  /** Contracts of the assets, the zero address for the coin. */
  assets: readonly Hex[];
  /** Block of the deployment, or any before it. */
  deployBlock: bigint;
  /** Must not be weaker than the guardians'. */
  finality: { tag: 'finalized' | 'safe' } | { confirmations: number };
}

export class VaultReader implements HomeChain {
  private readonly sources: Sources<PublicClient>;
  private position: Position | null = null;
  private next: bigint;
  private range = FIRST_RANGE;
  private deposits = 0n;
  /** By asset, those of whom the vault's events say that it holds money for them. */
  private readonly claimants = new Map<Hex, Set<Hex>>();

  constructor(private readonly options: VaultOptions) {
    this.sources = new Sources(options.rpcUrls, openClient);
    this.next = options.deployBlock;
  }

  /** The vault says all of itself. */
  learn(): void {}

  /** The newest final block. @throws AuditError */
  async final(): Promise<bigint> {
    const { finality } = this.options;
    const heights = await this.sources.each('which block is final', async (client) => {
      if ('tag' in finality) return (await client.getBlock({ blockTag: finality.tag })).number;
      return (await client.getBlockNumber()) - BigInt(finality.confirmations) + 1n;
    });
    return heights.reduce((a, b) => (b < a ? b : a));
  }

  /**
   * Reads all logs up to a final block that were not read yet. @throws AuditError `incomplete` when logs are missing, or what was final is no
   * longer; after that the reader is of no use
   */
  async read(height: bigint, sink: ChainSink): Promise<Position> {
    await this.assertChain();
    const before = this.position;
    if (before && (await this.block(before.height)).hash !== before.hash)
      throw new AuditError('incomplete', `Block ${before.height} was final and is another one now.`);
    while (this.next <= height) await this.readRange(height, sink);
    const position = await this.block(height);
    const count = await this.view<bigint>('how many deposits there are', height, (client, blockNumber) =>
      client.readContract({ address: this.options.vault, abi: vaultViews, functionName: 'sequence', blockNumber }),
    );
    if (count !== this.deposits)
      throw new AuditError(
        'incomplete',
        `The vault has numbered ${count} deposits and ${this.deposits} were shown: logs are missing.`,
      );
    this.position = position;
    return position;
  }

  /** The vault at the block read last. @throws AuditError */
  async state(): Promise<ChainState> {
    if (!this.position) throw new AuditError('bad-request', 'Nothing was read.');
    const { height, hash } = this.position;
    const { vault, assets } = this.options;
    const paused = await this.view<boolean>('whether the vault is paused', height, (client, blockNumber) =>
      client.readContract({ address: vault, abi: vaultViews, functionName: 'paused', blockNumber }),
    );
    const states = new Map<string, VaultState>();
    for (const asset of assets) states.set(asset, await this.assetState(asset, height));
    if ((await this.block(height)).hash !== hash)
      throw new AuditError('incomplete', `Block ${height} was final and is another one now.`);
    return { paused, assets: states, hopeless: new Set() };
  }

  /** Times of blocks, milliseconds. @throws AuditError */
  async times(blocks: readonly bigint[]): Promise<Map<bigint, number>> {
    const found = await inGroups(blocks, async (number) => [number, (await this.block(number)).at] as const);
    return new Map(found);
  }

  private async assetState(asset: Hex, height: bigint): Promise<VaultState> {
    const { vault } = this.options;
    const locked = await this.view<bigint>('what is locked', height, (client, blockNumber) =>
      client.readContract({ address: vault, abi: vaultViews, functionName: 'locked', args: [asset], blockNumber }),
    );
    const balance = await this.view<bigint>('what the vault has', height, (client, blockNumber) =>
      asset === zeroAddress
        ? client.getBalance({ address: vault, blockNumber })
        : client.readContract({
            address: asset,
            abi: tokenViews,
            functionName: 'balanceOf',
            args: [vault],
            blockNumber,
          }),
    );
    const held = await inGroups([...(this.claimants.get(asset) ?? [])], (account) =>
      this.view<bigint>('what can be claimed', height, (client, blockNumber) =>
        client.readContract({
          address: vault,
          abi: vaultViews,
          functionName: 'claimable',
          args: [account, asset],
          blockNumber,
        }),
      ),
    );
    return { locked, balance, claimable: held.reduce((a, b) => a + b, 0n) };
  }

  private async readRange(height: bigint, sink: ChainSink): Promise<void> {
    const last = this.next + this.range - 1n;
    const toBlock = last < height ? last : height;
    const { vault } = this.options;
    const ask = { address: vault, events: vaultEvents, strict: true, fromBlock: this.next, toBlock } as const;
    let logs: Awaited<ReturnType<typeof logsOf>>;
    try {
      logs = await this.sources.same(`the logs of blocks ${this.next} to ${toBlock}`, (client) => logsOf(client, ask));
    } catch (error) {
      if (!(error instanceof AuditError) || error.code !== 'unreachable' || this.range === 1n) throw error;
      this.range = this.range / 2n || 1n;
      return;
    }
    for (const log of logs) this.take(log, sink);
    this.next = toBlock + 1n;
    if (logs.length < MANY_LOGS && this.range < MOST_RANGE) this.range *= 2n;
  }

  private take(log: Awaited<ReturnType<typeof logsOf>>[number], sink: ChainSink): void {
    const place = { block: log.blockNumber, tx: log.transactionHash };
    const asset = getAddress(log.args.asset);
    if (log.eventName === 'Deposited') {
      const { sequence, sender, amount, recipient, tags } = log.args;
      this.deposits += 1n;
      if (sequence !== this.deposits)
        throw new AuditError('incomplete', `Deposit ${sequence} follows ${this.deposits - 1n}: logs are missing.`);
      const { chain, vault } = this.options;
      const credited = recipientOf(recipient);
      const to = credited === null ? { refused: 'its recipient is nobody' } : { recipient: credited };
      const reference = `${chain}:${vault}:${sequence}`;
      sink.deposit({ reference, asset, amount, fee: 0n, sender: getAddress(sender), to, tags: tagsOf(tags), ...place });
    } else if (log.eventName === 'Released') {
      const { process, number, recipient, amount, fee, held } = log.args;
      if (held) this.claimantsOf(asset).add(getAddress(recipient));
      const what = {
        process: processOf(process),
        number,
        recipient: getAddress(recipient),
        paid: amount - fee,
        fee,
        held,
      };
      sink.release({ asset, ...what, ...place });
    } else this.claimantsOf(asset).delete(getAddress(log.args.recipient));
  }

  private claimantsOf(asset: Hex): Set<Hex> {
    const found = this.claimants.get(asset) ?? new Set<Hex>();
    this.claimants.set(asset, found);
    if (found.size > MAX_CLAIMANTS)
      throw new AuditError('incomplete', `More than ${MAX_CLAIMANTS} accounts have money to claim.`);
    return found;
  }

  private async assertChain(): Promise<void> {
    const { chain } = this.options;
    const id = await this.sources.same('which chain it is', (client) => client.getChainId());
    if (`eip155:${id}` !== chain)
      throw new AuditError(
        'bad-request',
        `The RPC sources are of eip155:${id}; the processes were spawned for ${chain}.`,
      );
  }

  private async block(height: bigint): Promise<Position> {
    return this.sources.same(`block ${height}`, async (client) => {
      const { number, hash, timestamp } = await client.getBlock({ blockNumber: height });
      return { height: number, hash, at: Number(timestamp) * 1000 };
    });
  }

  private view<T>(what: string, height: bigint, ask: (client: PublicClient, height: bigint) => Promise<T>): Promise<T> {
    return this.sources.same(`${what} at block ${height}`, (client) => ask(client, height));
  }
}

interface LogQuestion {
  address: Hex;
  events: typeof vaultEvents;
  strict: true;
  fromBlock: bigint;
  toBlock: bigint;
}

/** Logs in order. @throws AuditError `malformed` for what is none of the vault in a block */
async function logsOf(client: PublicClient, ask: LogQuestion) {
  const logs = await client.getLogs(ask);
  for (const log of logs) {
    const inRange = log.blockNumber !== null && log.blockNumber >= ask.fromBlock && log.blockNumber <= ask.toBlock;
    if (!inRange || log.removed || getAddress(log.address) !== getAddress(ask.address))
      throw new AuditError('malformed', 'A source shows logs that were not asked for.');
  }
  const ordered = logs.toSorted((a, b) => Number(a.blockNumber - b.blockNumber) || a.logIndex - b.logIndex);
  return ordered.map(({ eventName, args, blockNumber, transactionHash }) => {
    return { eventName, args, blockNumber, transactionHash } as (typeof logs)[number];
  });
}

async function inGroups<T, R>(list: readonly T[], act: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (let i = 0; i < list.length; i += TOGETHER)
    results.push(...(await Promise.all(list.slice(i, i + TOGETHER).map(act))));
  return results;
}
