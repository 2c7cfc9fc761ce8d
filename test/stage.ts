/** The real stack for end-to-end tests: real processes, a chain that mines when the test says so, and people who deposit and withdraw. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { createItem, ethereumSigner } from '@isthmus/ao';
import { aoAddressToBytes } from '@isthmus/bridge';
import { encodeCoinDeposit } from '@isthmus/chains';
import { devAccount, devKey, receiptOf, startStack, type DevAsset, type Stack } from '@isthmus/devnet';
import type { AosModule } from '@isthmus/founding';
import { freePort, freePorts, guardianNames } from '@isthmus/store';
import { createPublicClient, createTestClient, createWalletClient, http, zeroAddress, type Hex } from 'viem';
import { foundry } from 'viem/chains';
import { compileContracts } from '../contracts/ethereum/compile.js';

/** Bound on one wait; far above what anything here takes. */
const PATIENCE_MS = 180_000;
const LOOK_MS = 60;
/** Of gateway and guardians: at half of it looking alone keeps six tenths of a core busy, and transfers are no faster. */
const POLL_MS = 200;

export interface Transfer {
  id: string;
  state: string;
  amount: string;
  fee: string;
  waiting: { reason: string; detail: string; expected: string | null } | null;
  releaseTx: string | null;
  timeline: { kind: string; proof: Record<string, string> }[];
}

export interface StageOptions {
  /** Has the processes live on another gateway's units, on this module of aos. */
  aos?: AosModule;
  /** Has everything settled on a local Arweave whose blocks come so often. */
  arweaveBlockMs?: number;
  /** Bitcoin and Solana as well; their blocks come by the clock. */
  homes?: boolean;
}

export class Stage {
  private constructor(
    readonly stack: Stack,
    readonly home: string,
    /** Where each guardian answers. */
    readonly guardianUrls: readonly string[],
  ) {}

  static async open({ aos, arweaveBlockMs, homes = false }: StageOptions = {}): Promise<Stage> {
    const home = fs.mkdtempSync(path.join(os.tmpdir(), 'isthmus-e2e-'));
    fs.chmodSync(home, 0o755);
    const ports = {
      gateway: await freePort(),
      anvil: await freePort(),
      postgres: await freePort(),
      guardians: await freePorts(guardianNames().length),
    };
    const arweave = arweaveBlockMs === undefined ? {} : { arweave: await freePort() };
    const others = homes ? { bitcoin: await freePort(), solana: await freePorts(2) } : {};
    const elsewhere = aos ? { elsewhere: { port: await freePort(), aos } } : {};
    const stack = await startStack({
      home,
      ports: { ...ports, ...arweave, ...others },
      contracts: compileContracts(),
      pollMs: POLL_MS,
      ...(arweaveBlockMs === undefined ? {} : { arweaveBlockMs }),
      ...elsewhere,
    });
    const urls = guardianNames().map((_, i) => `http://127.0.0.1:${ports.guardians + i}`);
    return new Stage(stack, home, urls);
  }

  async close(): Promise<void> {
    await this.stack.stop();
    fs.rmSync(this.home, { recursive: true, force: true });
  }

  get client() {
    return createPublicClient({
      chain: foundry,
      transport: http(this.stack.rpcUrl),
      cacheTime: 0,
      pollingInterval: 20,
    });
  }

  get coin(): DevAsset {
    return this.stack.deployment.assets.find((a) => a.address === zeroAddress) as DevAsset;
  }

  async mine(blocks = 1): Promise<void> {
    await createTestClient({ chain: foundry, transport: http(this.stack.rpcUrl), mode: 'anvil' }).mine({ blocks });
  }

  /** Steps the world, a block at a time, until `look` gives something. @throws Error saying what was awaited */
  async until<T>(what: string, look: () => Promise<T | null | undefined | false>): Promise<T> {
    const end = Date.now() + PATIENCE_MS;
    for (;;) {
      const found = await look().catch(() => null); // a process that was just killed does not answer
      if (found !== null && found !== undefined && found !== false) return found;
      if (Date.now() > end) throw new Error(`It never came that ${what}.`);
      await this.mine();
      await delay(LOOK_MS);
    }
  }

  async get<T>(pathname: string): Promise<T> {
    const response = await fetch(`${this.stack.gatewayUrl}${pathname}`);
    if (!response.ok) throw new Error(`HTTP ${response.status}: ${await response.text()}`);
    return (await response.json()) as T;
  }

  /** Deposits coin for an AO recipient; gives the transaction. */
  async deposit(amount: bigint, recipient: string): Promise<Hex> {
    const wallet = createWalletClient({ chain: foundry, transport: http(this.stack.rpcUrl), account: devAccount(0) });
    const hash = await wallet.sendTransaction({
      to: this.stack.deployment.vault,
      value: amount,
      data: encodeCoinDeposit(aoAddressToBytes(recipient), new Uint8Array()),
    });
    await receiptOf(this.client, hash);
    return hash;
  }

  /** A withdrawal message by a dev account; gives its id and bytes, so that it can be sent again. */
  async withdrawal(
    account: number,
    amount: bigint,
    recipient: string,
    maxFee = 10n ** 15n,
    process = this.coin.process,
  ): Promise<{ id: string; raw: Buffer }> {
    const tags = {
      'Data-Protocol': 'ao',
      Variant: 'ao.TN.1',
      Type: 'Message',
      Action: 'Withdraw',
      Quantity: String(amount),
      Recipient: recipient,
      'Max-Fee': String(maxFee),
    };
    return createItem(
      {
        target: process,
        anchor: randomBytes(16).toString('hex'),
        tags: Object.entries(tags).map(([name, value]) => ({ name, value })),
        data: '',
      },
      ethereumSigner(devKey(account)),
    );
  }

  /** Sends an item as a careful client does: again, until it is acknowledged. */
  async send(raw: Buffer): Promise<void> {
    await this.until('the gateway takes the message', async () => {
      const response = await fetch(`${this.stack.gatewayUrl}/mu`, {
        method: 'POST',
        headers: { 'content-type': 'application/octet-stream' },
        body: new Uint8Array(raw),
      });
      return response.ok;
    });
  }

  /** The transfer with this mark, once it is in this state. */
  transfer(mark: string, state: string): Promise<Transfer> {
    return this.until(`the transfer with ${mark} is ${state}`, async () => {
      const { transfers } = await this.get<{ transfers: Transfer[] }>(`/v1/transfers?${mark}`);
      const [found] = transfers;
      return found && found.state === state ? this.get<Transfer>(`/v1/transfers/${found.id}`) : null;
    });
  }

  async balance(account: string, process = this.coin.process): Promise<bigint> {
    const body = JSON.stringify({
      Id: 'x',
      Owner: devAccount(5).address,
      Target: process,
      Data: '',
      Tags: [
        { name: 'Action', value: 'Balance' },
        { name: 'Target', value: account },
      ],
    });
    const response = await fetch(`${this.stack.gatewayUrl}/cu/dry-run?process-id=${process}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
    const { Messages } = (await response.json()) as { Messages: { Data: string }[] };
    return BigInt(Messages[0]?.Data ?? '-1');
  }

  /** Address of the gateway's scheduler. */
  async scheduler(): Promise<string> {
    return (await this.get<{ ao: { scheduler: string } }>('/v1/chains')).ao.scheduler;
  }

  /** Until nothing of these processes' schedules is left to settle, and Arweave has all of it deep enough. */
  settled(processes: readonly string[]): Promise<unknown> {
    return this.until('everything is settled', async () => {
      // In this order: what was placed, then what is sealed, then whether every seal is on Arweave.
      const heads = await Promise.all(processes.map((process) => this.head(process)));
      const state = await this.get<{ processes: { process: string; slot: number }[] }>('/v1/state');
      const { waiting, bundles } = await this.get<{ waiting: { slots: number }; bundles: { state: string }[] }>(
        '/v1/settlement',
      );
      const slots = new Map(state.processes.map((p) => [p.process, p.slot]));
      const isSealed = processes.every((process, i) => (slots.get(process) ?? -1) >= (heads[i] ?? Infinity));
      return isSealed && waiting.slots === 0 && bundles.every((b) => ['confirmed', 'final'].includes(b.state));
    });
  }

  /** Newest slot of a schedule. */
  async head(process: string): Promise<number> {
    const head = await this.get<{ assignment: { tags: { name: string; value: string }[] } }>(`/su/${process}/latest`);
    return Number(head.assignment.tags.find((t) => t.name === 'Nonce')?.value);
  }

  async books(asset = this.coin.id): Promise<{ locked: string; supply: string; inFlight: string; ok: boolean }> {
    const { books } = await this.get<{ books: { locked: string; supply: string; inFlight: string; ok: boolean }[] }>(
      `/v1/books?asset=${encodeURIComponent(asset)}`,
    );
    return books[0] as { locked: string; supply: string; inFlight: string; ok: boolean };
  }
}
