/** The vault's own word: what it holds, what it has paid, and what it would take or let go now. */
import { processToBytes32, type VaultListing } from '@isthmus/bridge';
import { vaultAbi, type RpcPool, type VaultWatcher } from '@isthmus/chains';
import { decodeFunctionResult, encodeFunctionData } from 'viem';
import type { Holdings, OpenWithdrawal, Standing } from '../home.js';
import type { EthereumAssetConfig } from './config.js';

/** Each asset's locked total stays below this (docs/protocol.md, section 2). */
const CAPACITY = 2n ** 112n;

export class VaultBooks {
  constructor(
    private readonly pool: RpcPool,
    private readonly watcher: VaultWatcher,
  ) {}

  /** @throws AgreementLost, VaultReadError */
  async holdings(
    { address, process }: Pick<EthereumAssetConfig, 'address' | 'process'>,
    open: readonly OpenWithdrawal[],
  ): Promise<Holdings> {
    const { number: height } = await this.pool.latest();
    const locked = await this.watcher.read<bigint>('locked', [address], height);
    let paid = 0n;
    for (const { number, amount } of open) if (await this.isReleased(process, number, height)) paid += amount;
    return { locked, paid, height };
  }

  /** @throws AgreementLost, VaultReadError */
  async paused(): Promise<boolean> {
    const { number: height } = await this.pool.latest();
    return this.watcher.read<boolean>('paused', [], height);
  }

  /** As the newest block has it. @throws AgreementLost, VaultReadError */
  async standing({ address }: Pick<EthereumAssetConfig, 'address'>): Promise<Standing> {
    const { number: height } = await this.pool.latest();
    const [paused, { open, minDeposit, limit }, locked] = await Promise.all([
      this.watcher.read<boolean>('paused', [], height),
      this.watcher.read<VaultListing>('listing', [address], height),
      this.watcher.read<bigint>('locked', [address], height),
    ]);
    return { paused, open, minDeposit, depositFee: 0n, limit, room: CAPACITY - 1n - locked };
  }

  private async isReleased(process: string, number: bigint, height: bigint): Promise<boolean> {
    const call = { abi: vaultAbi, functionName: 'isReleased' } as const;
    const args = [processToBytes32(process), number] as const;
    const data = await this.pool.call(this.watcher.vault, encodeFunctionData({ ...call, args }), height);
    return decodeFunctionResult({ ...call, data });
  }
}
