/** Bitcoin's networks: what tells them apart, and the rules of their proof of work. Constants are those of Bitcoin Core's src/kernel/chainparams.cpp. */
import { BITCOIN_PREFIXES, type BitcoinPrefixes } from '@isthmus/bridge';
import { BitcoinError } from './errors.js';

export type NetworkName = 'mainnet' | 'testnet3' | 'testnet4' | 'signet' | 'regtest';

/** How the difficulty goes on from block to block. */
export type Difficulty =
  /** Every 2,016 blocks. */
  | 'adjusted'
  /** So too, but a block 20 minutes after the last may be as easy as any. */
  | 'adjusted-or-easiest'
  /** Never: each block as the one before. */
  | 'constant';

export interface BitcoinNetwork extends BitcoinPrefixes {
  name: NetworkName;
  /** What Core calls it in `getblockchaininfo`. */
  coreName: string;
  /** Hash of the first block, as people write it. */
  genesis: string;
  /** Header of the first block, 80 bytes in hex. */
  genesisHeader: string;
  /** The easiest target, in compact form. */
  easiest: number;
  difficulty: Difficulty;
  /** BIP 94: a period's difficulty follows from its first block's, and none begins more than ten minutes before the last block of the one before. */
  bip94: boolean;
  /** From here on blocks have version 4 or more (BIP 34, 66 and 65). */
  version4From: number;
}

const FIRST_ROOT = '3ba3edfd7a7b12b27ac72c3e67768f617fc81bc3888a51323a9fb8aa4b1e5e4a';
/** Headers of first blocks differ by time, target and nonce, testnet 4's by its transaction too. */
const first = (rest: string, root = FIRST_ROOT): string => `01000000${'00'.repeat(32)}${root}${rest}`;

/** CAIP-2 of a network: `bip122:` and the first 32 digits of its first block's hash. */
export const chainOf = ({ genesis }: Pick<BitcoinNetwork, 'genesis'>): string => `bip122:${genesis.slice(0, 32)}`;

function network(rules: Omit<BitcoinNetwork, keyof BitcoinPrefixes>): BitcoinNetwork {
  const prefixes = BITCOIN_PREFIXES[chainOf(rules)];
  if (!prefixes) throw new BitcoinError('bad-terms', `The rules know no addresses of ${rules.name}.`);
  return { ...rules, ...prefixes };
}

export const NETWORKS: Readonly<Record<NetworkName, BitcoinNetwork>> = {
  mainnet: network({
    name: 'mainnet',
    coreName: 'main',
    genesis: '000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f',
    genesisHeader: first('29ab5f49ffff001d1dac2b7c'),
    easiest: 0x1d00ffff,
    difficulty: 'adjusted',
    bip94: false,
    version4From: 388_381,
  }),
  testnet3: network({
    name: 'testnet3',
    coreName: 'test',
    genesis: '000000000933ea01ad0ee984209779baaec3ced90fa3f408719526f8d77f4943',
    genesisHeader: first('dae5494dffff001d1aa4ae18'),
    easiest: 0x1d00ffff,
    difficulty: 'adjusted-or-easiest',
    bip94: false,
    version4From: 581_885,
  }),
  testnet4: network({
    name: 'testnet4',
    coreName: 'testnet4',
    genesis: '00000000da84f2bafbbc53dee25a72ae507ff4914b867c565be350b0da8bf043',
    genesisHeader: first(
      '046f3566ffff001dbb0c7817',
      '4e7b2b9128fe0291db0693af2ae418b767e657cd407e80cb1434221eaea7a07a',
    ),
    easiest: 0x1d00ffff,
    difficulty: 'adjusted-or-easiest',
    bip94: true,
    version4From: 1,
  }),
  signet: network({
    name: 'signet',
    coreName: 'signet',
    genesis: '00000008819873e925422c1ff0f99f7cc9bbb232af63a077a480a3633bee1ef6',
    genesisHeader: first('008f4d5fae77031e8ad22203'),
    easiest: 0x1e0377ae,
    difficulty: 'adjusted',
    bip94: false,
    version4From: 1,
  }),
  regtest: network({
    name: 'regtest',
    coreName: 'regtest',
    genesis: '0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206',
    genesisHeader: first('dae5494dffff7f2002000000'),
    easiest: 0x207fffff,
    difficulty: 'constant',
    bip94: false,
    version4From: 1,
  }),
};

/** @throws BitcoinError `bad-terms` for a chain that is none of these */
export function networkOf(chain: string): BitcoinNetwork {
  const found = Object.values(NETWORKS).find((one) => chainOf(one) === chain);
  if (!found) throw new BitcoinError('bad-terms', 'The chain is none of the Bitcoin networks known here.');
  return found;
}
