/** Test harness: a vault on a real anvil of any chain id, and HTTP sources in front of it that pass its answers on, alter them, or fail. */
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { listTypedData, packSignature } from '@isthmus/bridge';
import { startAnvil, type Anvil } from '@isthmus/devnet';
import { encodeDeployData, encodeFunctionData, getAddress, keccak256, stringToHex, zeroAddress, type Abi } from 'viem';
import type { Hex } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { compileContracts } from '../../../../contracts/ethereum/compile.js';
import { RpcPool, type RpcPoolOptions } from './rpc.js';
import { vaultAbi } from './vault-abi.js';
import { encodeCoinDeposit, joinSignatures, type RawLog } from './vault.js';

export const RECIPIENT: Uint8Array = Buffer.alloc(32, 0xab);
/** Blocks from the newest to the first final one, itself counted; with one slot to an epoch anvil's `finalized` is as deep. */
export const DEPTH = 3;
const GAS: Hex = '0x800000';

export interface Receipt {
  status: Hex;
  transactionHash: Hex;
  blockNumber: Hex;
  contractAddress: Hex | null;
  logs: RawLog[];
}
export interface Block {
  number: Hex;
  hash: Hex;
  timestamp: Hex;
}

/** A vault with the coin listed, on a chain whose blocks are mined when a test says so. */
export class VaultChain {
  vault: Hex = zeroAddress;
  deployBlock = 0n;
  private account: Hex = zeroAddress;

  private constructor(
    readonly anvil: Anvil,
    readonly chainId: number,
  ) {}

  static async open(chainId = 31_337): Promise<VaultChain> {
    const chain = new VaultChain(await startAnvil({ chainId }), chainId);
    try {
      await chain.prepare();
      return chain;
    } catch (error) {
      await chain.anvil.stop();
      throw error;
    }
  }

  private async prepare(): Promise<void> {
    await this.rpc('evm_setAutomine', [false]);
    [this.account = zeroAddress] = (await this.rpc('eth_accounts')) as Hex[];
    const guardian = privateKeyToAccount(keccak256(stringToHex('guardian')));
    const { address, block } = await this.deploy('Vault', [[guardian.address], 1, 1]);
    this.vault = address;
    this.deployBlock = block;
    const listing = { asset: zeroAddress, open: true, limit: 10n ** 24n, window: 3600, minDeposit: 1n };
    const statement = listTypedData({ chainId: this.chainId, vault: address }, { ...listing, epoch: 1n, nonce: 0n });
    const signature = joinSignatures([packSignature(0, await guardian.signTypedData(statement))]);
    const args = [zeroAddress, true, listing.limit, listing.window, listing.minDeposit, signature] as const;
    await this.send(address, encodeFunctionData({ abi: vaultAbi, functionName: 'list', args }));
  }

  rpc(method: string, params: readonly unknown[] = []): Promise<unknown> {
    return rpc(this.anvil.url, method, params);
  }

  async deploy(name: string, args: readonly unknown[] = []): Promise<{ address: Hex; block: bigint }> {
    const contract = compileContracts()[name];
    if (!contract) throw new Error(`No contract ${name}.`);
    const data = encodeDeployData({ abi: contract.abi as Abi, bytecode: contract.bytecode, args });
    const receipt = await this.send(undefined, data);
    return { address: getAddress(receipt.contractAddress as Hex), block: BigInt(receipt.blockNumber) };
  }

  /** Leaves a transaction, which may revert, for the next block; returns its hash. */
  submit(to: Hex | undefined, data: Hex, value = 0n): Promise<Hex> {
    const call = { from: this.account, data, gas: GAS, value: hex(value), ...(to === undefined ? {} : { to }) };
    return this.rpc('eth_sendTransaction', [call]) as Promise<Hex>;
  }

  async receipt(hash: Hex): Promise<Receipt> {
    const receipt = (await this.rpc('eth_getTransactionReceipt', [hash])) as Receipt | null;
    if (!receipt) throw new Error(`Transaction ${hash} is not mined.`);
    return receipt;
  }

  /** A transaction in a block of its own. */
  async attempt(to: Hex | undefined, data: Hex, value = 0n): Promise<Receipt> {
    const hash = await this.submit(to, data, value);
    await this.mine(1);
    return this.receipt(hash);
  }

  /** One that must not revert. */
  async send(to: Hex | undefined, data: Hex, value = 0n): Promise<Receipt> {
    const receipt = await this.attempt(to, data, value);
    if (receipt.status !== '0x1') throw new Error(`Transaction ${receipt.transactionHash} reverted.`);
    return receipt;
  }

  /** Calls a function of a test contract. */
  call(name: string, address: Hex, functionName: string, args: readonly unknown[], value = 0n): Promise<Receipt> {
    const abi = compileContracts()[name]?.abi as Abi;
    return this.send(address, encodeFunctionData({ abi, functionName, args }), value);
  }

  /** One deposit in a block of its own. */
  deposit(amount: bigint): Promise<Receipt> {
    return this.send(this.vault, depositCall, amount);
  }

  /** Many deposits in one block. */
  async depositTogether(amounts: readonly bigint[]): Promise<void> {
    for (const amount of amounts) await this.submit(this.vault, depositCall, amount);
    await this.mine(1);
  }

  async mine(blocks: number): Promise<void> {
    await this.rpc('anvil_mine', [hex(BigInt(blocks))]);
  }

  /** Replaces the newest blocks by empty ones. */
  async reorg(depth: number): Promise<void> {
    await this.rpc('anvil_reorg', [depth, []]);
  }

  async head(): Promise<bigint> {
    return BigInt((await this.rpc('eth_blockNumber')) as Hex);
  }

  block(which: string): Promise<Block> {
    return this.rpc('eth_getBlockByNumber', [which, false]) as Promise<Block>;
  }

  /** All logs of the vault, as the node itself gives them. */
  logs(): Promise<RawLog[]> {
    return this.rpc('eth_getLogs', [{ address: this.vault, fromBlock: '0x0' }]) as Promise<RawLog[]>;
  }
}

const depositCall = encodeCoinDeposit(RECIPIENT, Buffer.alloc(0));

/** One JSON-RPC call as a source gets it. */
export interface Call {
  method: string;
  params: readonly unknown[];
}
/** What a source says in answer, given a way to the truth; what it throws, it answers as an error. */
export type Behaviour = (call: Call, truth: () => Promise<unknown>) => unknown;
/** Writes the HTTP answer itself. */
export type RawBehaviour = (response: http.ServerResponse, call: Call) => void;

/** A source of one chain's RPC: honest until told otherwise. */
export class Source {
  behaviour: Behaviour = (_, truth) => truth();
  raw: RawBehaviour | null = null;
  /** Calls that wait for an answer of this source. */
  waiting = 0;
  readonly asked: Call[] = [];
  readonly url: string;

  private constructor(
    private readonly server: http.Server,
    /** The node behind it. */
    public target: string,
  ) {
    // The path stands for the key that real sources' addresses hold.
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/secret-key`;
    server.on('request', (request: http.IncomingMessage, response: http.ServerResponse) => {
      void this.answer(request, response);
    });
  }

  static async open(target: string): Promise<Source> {
    const server = http.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new Source(server, target);
  }

  honest(): void {
    this.behaviour = (_, truth) => truth();
    this.raw = null;
  }

  /** Alters the answers to one method. */
  lie(method: string, alter: (truth: unknown, call: Call) => unknown): void {
    const before = this.behaviour;
    this.behaviour = async (call, truth) =>
      call.method === method ? alter(await before(call, truth), call) : before(call, truth);
  }

  fail(): void {
    this.raw = (response) => response.destroy();
  }

  hang(): void {
    this.raw = () => undefined;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  private async answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    this.waiting += 1;
    response.on('close', () => (this.waiting -= 1));
    let body = '';
    for await (const chunk of request) body += String(chunk);
    const call = JSON.parse(body) as Call;
    this.asked.push(call);
    if (this.raw) return this.raw(response, call);
    const said = await this.say(call);
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ jsonrpc: '2.0', id: 1, ...said }));
  }

  private async say(call: Call): Promise<object> {
    try {
      return { result: await this.behaviour(call, () => rpc(this.target, call.method, call.params)) };
    } catch (error) {
      return { error: { code: -32_000, message: error instanceof Error ? error.message : String(error) } };
    }
  }
}

interface Range {
  fromBlock: Hex;
  toBlock: Hex;
}

function isWithin({ blockNumber }: RawLog, { fromBlock, toBlock }: Range): boolean {
  const at = BigInt(blockNumber ?? 0);
  return at >= BigInt(fromBlock) && at <= BigInt(toBlock);
}

/** The answers of a node that was cut off from the others just now: it goes on saying what it knew. */
export async function cutOff(chain: VaultChain): Promise<Behaviour> {
  const head = await chain.head();
  const blocks = await Promise.all(Array.from({ length: Number(head) + 1 }, (_, i) => chain.block(hex(BigInt(i)))));
  const logs = await chain.logs();
  return ({ method, params }, truth) => {
    if (method === 'eth_getBlockByNumber') {
      const which = params[0] as string;
      const final = which === 'finalized' ? Math.max(0, Number(head) - DEPTH + 1) : Number(which);
      return blocks[which === 'latest' ? Number(head) : final] ?? null;
    }
    if (method === 'eth_getLogs') return logs.filter((l) => isWithin(l, params[0] as Range));
    if (method !== 'eth_call') return truth();
    if (BigInt(params[1] as Hex) > head) throw new Error('unknown block');
    // Every view asked for here is the number of deposits.
    const deposits = logs.filter(
      (l) => l.topics.length === 4 && BigInt(l.blockNumber ?? 0) <= BigInt(params[1] as Hex),
    );
    return `0x${deposits.length.toString(16).padStart(64, '0')}`;
  };
}

export function pool(
  sources: readonly (Source | Anvil)[],
  agreement: number,
  options: Partial<RpcPoolOptions> = {},
): RpcPool {
  const urls = sources.map((s) => s.url);
  return new RpcPool({ urls, agreement, chainId: 31_337, finality: { confirmations: DEPTH }, ...options });
}

/** What a promise is refused with. */
export async function failure(promise: Promise<unknown>): Promise<Error> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
  throw new Error('It was not refused.');
}

export const hex = (value: bigint): Hex => `0x${value.toString(16)}`;

async function rpc(url: string, method: string, params: readonly unknown[]): Promise<unknown> {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
  const response = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  const answer = (await response.json()) as { result?: unknown; error?: { message: string } };
  if (answer.error) throw new Error(answer.error.message);
  return answer.result;
}
