/** A home on Ethereum, or on a chain like it: a vault contract, read from several sources, with a relayer that pays the gas. */
import { aoAddressToBytes, chainIdOf, encodeTags, isEthereumAddress } from '@isthmus/bridge';
import { encodeCoinDeposit, encodeTokenDeposit, RpcPool, VaultWatcher } from '@isthmus/chains';
import { readKeyFile } from '@isthmus/store';
import { createPublicClient, http, zeroAddress } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import type { HomeAsset } from '../asset-config.js';
import type { DepositRequest, Holdings, Home, HomeParts, OpenWithdrawal, Pace, Purse, Standing } from '../home.js';
import { hexAddressFault } from './address.js';
import type { EthereumAssetFields, EthereumChainFields, EthereumPayment } from './answers.js';
import { ChainIndex } from './chain-index.js';
import type { EthereumAssetConfig, EthereumHomeConfig } from './config.js';
import { paceOf } from './pace.js';
import { Relayer } from './relayer.js';
import { VaultBooks } from './vault-books.js';

/** Milliseconds one question of the relayer to its source may take. */
const TIMEOUT_MS = 10_000;

/** @throws ConfigError for a key file that is none */
export function openEthereumHome(config: EthereumHomeConfig, parts: HomeParts): EthereumHome {
  const { id, rpcUrls, agreement, finality, vault, relayerKeyFile } = config.chain;
  const pool = new RpcPool({ urls: rpcUrls, agreement, chainId: chainIdOf(id), finality });
  const watcher = new VaultWatcher(pool, vault);
  const client = createPublicClient({ transport: http(rpcUrls[0], { timeout: TIMEOUT_MS }), cacheTime: 0 });
  const account = privateKeyToAccount(readKeyFile(relayerKeyFile));
  return new EthereumHome(
    config,
    new ChainIndex(config, parts.database, watcher, parts.store),
    new Relayer(config, parts, client, account),
    new VaultBooks(pool, watcher),
    {
      address: account.address,
      unit: 'wei',
      alarm: 0n,
      balance: () => client.getBalance({ address: account.address }),
    },
    paceOf(config.chain, parts.pollMs),
  );
}

export class EthereumHome implements Home {
  readonly chain: Home['chain'] & { readonly fields: EthereumChainFields };
  readonly assets: readonly EthereumAssetConfig[];

  constructor(
    { chain, assets }: EthereumHomeConfig,
    private readonly index: Pick<ChainIndex, 'step'>,
    private readonly relayer: Pick<Relayer, 'step' | 'suggestedMaxFee'>,
    private readonly vault: VaultBooks,
    readonly purse: Purse,
    readonly pace: Pace,
  ) {
    const { id, name, vault: address, deployBlock, finality } = chain;
    this.chain = { id, name, fields: { vault: address, deployBlock, finality } };
    this.assets = assets;
  }

  look(): Promise<void> {
    return this.index.step();
  }

  relay(): Promise<void> {
    return this.relayer.step();
  }

  holdings(asset: HomeAsset, open: readonly OpenWithdrawal[]): Promise<Holdings> {
    return this.vault.holdings(this.own(asset), open);
  }

  paused(): Promise<boolean> {
    return this.vault.paused();
  }

  standing(asset: HomeAsset): Promise<Standing> {
    return this.vault.standing(this.own(asset));
  }

  payment(asset: HomeAsset, { amount, recipient, tags }: DepositRequest): Promise<EthereumPayment> {
    const { address } = this.own(asset);
    const { vault } = this.chain.fields;
    const [bytes, tagBytes] = [aoAddressToBytes(recipient), encodeTags(tags)];
    if (address === zeroAddress)
      return Promise.resolve({
        approve: null,
        call: {
          to: vault,
          value: amount,
          data: encodeCoinDeposit(bytes, tagBytes),
          function: 'deposit(bytes recipient, bytes tags)',
        },
      });
    return Promise.resolve({
      approve: {
        token: address,
        spender: vault,
        amount,
        note: 'or depositWithPermit with an EIP-2612 signature instead',
      },
      call: {
        to: vault,
        value: '0',
        data: encodeTokenDeposit(address, BigInt(amount), bytes, tagBytes),
        function: 'deposit(address asset, uint256 amount, bytes recipient, bytes tags)',
      },
    });
  }

  suggestedMaxFee(asset: HomeAsset): Promise<bigint> {
    return this.relayer.suggestedMaxFee(this.own(asset));
  }

  recipientFault(address: string): string | null {
    if (isEthereumAddress(address)) return null;
    return hexAddressFault(address) ?? 'not an Ethereum address: write 0x and 40 hex digits with the EIP-55 checksum';
  }

  isOwn(asset: HomeAsset, address: string): Promise<boolean> {
    return Promise.resolve([this.chain.fields.vault, this.own(asset).address].some((own) => own === address));
  }

  assetFields(asset: HomeAsset): EthereumAssetFields {
    return { address: this.own(asset).address };
  }

  private own({ id }: HomeAsset): EthereumAssetConfig {
    const own = this.assets.find((a) => a.id === id);
    if (!own) throw new Error(`${id} is no asset of ${this.chain.id}.`);
    return own;
  }
}
