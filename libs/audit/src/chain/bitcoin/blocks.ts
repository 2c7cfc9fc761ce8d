/** Blocks of a Bitcoin chain from its nodes: which one is at a height is what all of them say; what is in it must be what its hash commits to. */
import { Block } from 'bitcoinjs-lib';
import { AuditError } from '../../domain/error.js';
import { openRpc, Sources, type Ask } from '../sources.js';

/** Hexadecimal digits of the largest block there can be: 4,000,000 bytes of weight. */
const MAX_BLOCK_TEXT = 8_100_000;

export interface ChainBlock {
  height: number;
  hash: string;
  /** Milliseconds. */
  at: number;
  txs: NonNullable<Block['transactions']>;
}

export class Blocks {
  private readonly sources: Sources<Ask>;

  constructor(urls: readonly string[]) {
    this.sources = new Sources(urls, openRpc);
  }

  /** @throws AuditError `bad-request` when the nodes are of another network */
  async assertChain(chain: string): Promise<void> {
    const genesis = await this.hashAt(0);
    if (`bip122:${genesis.slice(0, 32)}` !== chain)
      throw new AuditError(
        'bad-request',
        `The RPC sources are of bip122:${genesis.slice(0, 32)}; the process was spawned for ${chain}.`,
      );
  }

  /** The height all sources have. @throws AuditError */
  async height(): Promise<number> {
    const heights = await this.sources.each('its height', async (ask) => count(await ask('getblockcount', [])));
    return Math.min(...heights);
  }

  /** @throws AuditError */
  hashAt(height: number): Promise<string> {
    return this.sources.same(`which block is at ${height}`, async (ask) => hash(await ask('getblockhash', [height])));
  }

  /** @throws AuditError `malformed` for what is not the block of its hash, whole */
  async at(height: number): Promise<ChainBlock> {
    const name = await this.hashAt(height);
    const [text] = await this.sources.each(`block ${height}`, (ask) => ask('getblock', [name, 0]));
    const block = blockIn(text);
    if (!block?.transactions || block.getId() !== name || !block.checkTxRoots())
      throw new AuditError('malformed', `A source shows as block ${height} what is not block ${name}, whole.`);
    return { height, hash: name, at: block.timestamp * 1000, txs: block.transactions };
  }
}

function blockIn(text: unknown): Block | null {
  if (typeof text !== 'string' || text.length > MAX_BLOCK_TEXT || !/^(?:[0-9a-f]{2})+$/.test(text)) return null;
  try {
    return Block.fromHex(text);
  } catch {
    return null; // said by who asked
  }
}

function count(value: unknown): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  throw new AuditError('malformed', 'A source gives something else as its height.');
}

function hash(value: unknown): string {
  if (typeof value === 'string' && /^[0-9a-f]{64}$/.test(value)) return value;
  throw new AuditError('malformed', 'A source gives something else as a block’s hash.');
}
