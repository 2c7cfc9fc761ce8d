/** The gateway as its users reach it: REST, live events, AO units. */
import { setTimeout as delay } from 'node:timers/promises';
import type { BoundedRequest, Tag } from '@isthmus/ao';
import { askGateway, answerIn, MAX_ANSWER, wordsOf } from './ask-gateway.js';
import { CommandError } from './said.js';

export interface TransferAnswer {
  id: string;
  direction: string;
  state: string;
  waiting: { reason: string; detail: string; expected: string | null } | null;
  asset: string;
  amount: string;
  fee: string;
  sender: string;
  recipient: string;
  number: string | null;
  sourceTx: string | null;
  releaseTx: string | null;
  timeline: { kind: string; at: string; proof: Record<string, string | number> }[];
}

export interface AssetAnswer {
  id: string;
  /** CAIP-2 */
  chain: string;
  /** On Ethereum the token's contract. */
  address?: string;
  /** On Solana the token's mint; null for SOL. */
  mint?: string | null;
  symbol: string;
  decimals: number;
  process: string;
}

export interface BooksAnswer {
  asset: string;
  locked: string;
  supply: string;
  inFlight: string;
  releasedUnattested: string;
  ok: boolean;
  paused: boolean;
  height: string;
  slot: number;
}

const FINAL = new Set(['minted', 'refused', 'released', 'held']);

export class GatewayClient {
  constructor(readonly url: string) {}

  /** @throws CommandError with the problem's own words */
  async get<T>(path: string): Promise<T> {
    return this.ask<T>(path);
  }

  async post<T>(path: string, body: unknown): Promise<T> {
    return this.ask<T>(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  }

  async sendItem(raw: Buffer): Promise<void> {
    const headers = { 'content-type': 'application/octet-stream' };
    const answer = await askGateway(`${this.url}/mu`, MAX_ANSWER, {
      method: 'POST',
      headers,
      body: new Uint8Array(raw),
    });
    if (answer.status > 299) throw new CommandError(`The messenger refused the message: ${wordsOf(answer)}`);
  }

  /** Data of the first message a dry-run answers. */
  async read(process: string, tags: Tag[]): Promise<string> {
    const body = {
      Id: 'demo',
      Target: process,
      Owner: '0x0000000000000000000000000000000000000001',
      Data: '',
      Tags: tags,
    };
    const answer = await this.ask<{ Messages: { Data: string }[] }>(`/cu/dry-run?process-id=${process}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return answer.Messages[0]?.Data ?? '';
  }

  /** The newest transfer with this mark, once it is known. @throws Error after `timeoutMs` */
  async find(mark: string, timeoutMs = 60_000): Promise<TransferAnswer> {
    const until = Date.now() + timeoutMs;
    for (;;) {
      const { transfers } = await this.get<{ transfers: TransferAnswer[] }>(`/v1/transfers?${mark}&limit=1`);
      if (transfers[0]) return transfers[0];
      if (Date.now() > until) throw new Error(`No transfer with ${mark} appeared within ${timeoutMs / 1000} s.`);
      await delay(200);
    }
  }

  /** Follows a transfer by its live events until it is done, telling each state. @throws Error after `timeoutMs`, with why it waits */
  async follow(id: string, onState: (state: string) => void, timeoutMs = 120_000): Promise<TransferAnswer> {
    const limit = AbortSignal.timeout(timeoutMs);
    try {
      const response = await fetch(`${this.url}/v1/transfers/${id}/events`, {
        headers: { 'last-event-id': '0' },
        signal: limit,
      });
      for await (const state of statesOf(response)) {
        onState(state);
        if (FINAL.has(state)) return await this.get<TransferAnswer>(`/v1/transfers/${id}`);
      }
    } catch (error) {
      if (!limit.aborted) throw error;
    }
    const { state, waiting } = await this.get<TransferAnswer>(`/v1/transfers/${id}`);
    throw new Error(
      `Transfer ${id} is ${state} after ${timeoutMs / 1000} s: ${waiting?.reason ?? 'unknown'}: ${waiting?.detail ?? ''}`,
    );
  }

  /**
   * A transfer once its timeline has this step: guardians look at the chain for themselves and may be done before the gateway sees the same.
   * @throws Error after `timeoutMs`
   */
  async proven(id: string, kind: string, timeoutMs = 30_000): Promise<TransferAnswer> {
    const until = Date.now() + timeoutMs;
    for (;;) {
      const transfer = await this.get<TransferAnswer>(`/v1/transfers/${id}`);
      if (transfer.timeline.some((step) => step.kind === kind)) return transfer;
      if (Date.now() > until) throw new Error(`The timeline of ${id} has no step ${kind} after ${timeoutMs / 1000} s.`);
      await delay(200);
    }
  }

  private async ask<T>(path: string, request?: BoundedRequest): Promise<T> {
    return answerIn(await askGateway(this.url + path, MAX_ANSWER, request));
  }
}

/** States in a stream of server-sent events. */
async function* statesOf(response: Response): AsyncGenerator<string> {
  if (!response.ok || !response.body) throw new Error(`The event stream answers HTTP ${response.status}.`);
  let rest = '';
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    rest += chunk;
    const blocks = rest.split('\n\n');
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const data = block.split('\n').find((l) => l.startsWith('data: '));
      if (!data || !block.includes('event: transfer')) continue;
      yield (JSON.parse(data.slice(6)) as { state: string }).state;
    }
  }
}
