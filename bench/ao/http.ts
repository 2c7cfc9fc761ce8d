/**
 * The token on the lean machine over HTTP, on the gateway as it is started for people: from the POST of a signed item to its durable
 * result. The client that loads it and PostgreSQL share the machine with it.
 */
import http from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { createItem, ethereumSigner, type Item, type Signer } from '@isthmus/ao';
import { SPAWN_TAGS, tokenSource } from '../../contracts/ao/harness.js';
import { atLeast, atMost, quantile, type Figure } from '../figure.js';
import { onStack } from '../stack.js';
import { depositLine, GUARDIANS, message, tags } from './load.js';

const HOLDERS = 100;
const MESSAGES = 15_000;
/** Requests under way at once. */
const CLIENTS = 64;
const TARGET_PER_SECOND = 1_500;
/** Long enough that what comes once in some seconds (a checkpoint, a seal, a collection of garbage) counts for what it is. */
const PACED_SECONDS = 20;
/** Of the messages at half load, every so many is followed to its result. */
const FOLLOWED = 5;
const PATIENCE_MS = 120_000;
const STATE_READS = 4_000;

export async function httpFigures(): Promise<Figure[]> {
  return onStack({ pollMs: 1000 }, async (stack) => {
    const holders = Array.from({ length: HOLDERS }, (_, i) =>
      ethereumSigner(`0x${(i + 100).toString(16).padStart(64, '0')}`),
    );
    const process = await deploy(new Client(stack.gatewayUrl), holders);
    const paced = await transfers(process, holders, (TARGET_PER_SECOND / 2) * PACED_SECONDS);
    const [warm, many] = [await transfers(process, holders, 2_000), await transfers(process, holders, MESSAGES)];
    // Signing took seconds in which no connection was looked after: the server has closed those there were.
    const client = new Client(stack.gatewayUrl);
    await sustained(client, process, warm);
    const perSecond = await sustained(client, process, many);
    const latencies = await atRate(client, process, paced, TARGET_PER_SECOND / 2);
    const states = await stateReads(client, process, holders);
    console.error(
      `  from POST to result at half load: p50 ${quantile(latencies, 0.5).toFixed(0)} ms, p99 ${quantile(latencies, 0.99).toFixed(0)} ms`,
    );
    return [
      atLeast('ao', 'lua.http_per_second', perSecond, 'messages/s', TARGET_PER_SECOND),
      atMost('ao', 'lua.p99_ms_at_half', quantile(latencies, 0.99), 'ms', 100),
      atMost('ao', 'state.p99_ms', quantile(states, 0.99), 'ms', 10),
    ];
  });
}

/** A token of its own beside the stack's, with a million units for each holder. */
export async function deploy(
  client: Client,
  holders: readonly Signer[],
  more: Readonly<Record<string, string>> = {},
): Promise<string> {
  const [deployer] = GUARDIANS as [Signer];
  const module = await createItem(
    { tags: tags({ 'Data-Protocol': 'ao', Type: 'Module', 'Module-Format': 'isthmus-lua-5.4' }), data: tokenSource() },
    deployer,
  );
  const guardians = GUARDIANS.map((g) => g.address).join(',');
  const spawn = await createItem(
    { tags: tags({ ...SPAWN_TAGS, ...more, Module: module.id, 'Isthmus-Guardians': guardians }), data: '' },
    deployer,
  );
  await client.send(module);
  await client.send(spawn);
  const lines = holders.map(({ address }, i) => depositLine(i + 1, address, 1_000_000n)).join('\n');
  for (const guardian of GUARDIANS.slice(0, 2))
    await client.send(await message(spawn.id, { Action: 'Attest-Deposits' }, guardian, lines));
  return spawn.id;
}

export function transfers(process: string, holders: readonly Signer[], count: number): Promise<Item[]> {
  return Promise.all(
    Array.from({ length: count }, (_, i) => {
      const recipient = holders[(i * 7 + 1) % HOLDERS] as Signer;
      const action = { Action: 'Transfer', Recipient: recipient.address, Quantity: '1' };
      return message(process, action, holders[i % HOLDERS] as Signer);
    }),
  );
}

/** Messages a second, from the first POST until the last result is stored. */
export async function sustained(
  client: Client,
  process: string,
  items: readonly Item[],
  clients = CLIENTS,
): Promise<number> {
  const began = performance.now();
  let next = 0;
  const work = async (): Promise<void> => {
    for (let item = items[next++]; item; item = items[next++]) await client.send(item);
  };
  await Promise.all(Array.from({ length: clients }, work));
  await client.result(process, items.at(-1) as Item);
  await untilEvaluated(client, process, items);
  return (items.length / (performance.now() - began)) * 1000;
}

/** The last of these in the schedule need not be the last sent: all are evaluated when the newest slot is. */
async function untilEvaluated(client: Client, process: string, items: readonly Item[]): Promise<void> {
  const began = performance.now();
  const latest = async (): Promise<string> =>
    ((await client.json(`/su/${process}/latest`)) as { message: { id: string } }).message.id;
  const last = await latest();
  if (!items.some((i) => i.id === last)) throw new Error('The newest slot holds none of the messages sent.');
  await client.json(`/cu/result/${last}?process-id=${process}`);
  if (performance.now() - began > PATIENCE_MS) throw new Error('The results came too late.');
}

/** Milliseconds from POST to result of every so many of these, sent at a steady rate whatever comes back. */
async function atRate(client: Client, process: string, items: readonly Item[], perSecond: number): Promise<number[]> {
  const began = performance.now();
  const latencies: number[] = [];
  const sent = items.map(async (item, i) => {
    const due = (i / perSecond) * 1000;
    await delay(Math.max(due - (performance.now() - began), 0));
    await client.send(item);
    if (i % FOLLOWED !== 0) return;
    await client.result(process, item);
    latencies.push(performance.now() - began - due); // from when it was due: a client held up counts against the server
  });
  await Promise.all(sent);
  return latencies;
}

/** Milliseconds of each read of a holder's balance from public state, as of the last result and as of the newest message, one after another. */
async function stateReads(client: Client, process: string, holders: readonly Signer[]): Promise<number[]> {
  const took: number[] = [];
  for (let i = 0; i < STATE_READS; i += 1) {
    const holder = holders[i % HOLDERS] as Signer;
    const began = performance.now();
    await client.json(`/${process}~process@1.0/${i % 2 ? 'now' : 'compute'}/balances/${holder.address}`);
    took.push(performance.now() - began);
  }
  return took;
}

/** A plain client that keeps its connections. */
export class Client {
  private readonly agent = new http.Agent({ keepAlive: true, maxSockets: 256 });

  constructor(private readonly url: string) {}

  async send(item: Item): Promise<void> {
    await this.request('POST', '/mu', item.raw);
  }

  result(process: string, item: Item): Promise<unknown> {
    return this.json(`/cu/result/${item.id}?process-id=${process}`);
  }

  async json(route: string): Promise<unknown> {
    return JSON.parse((await this.request('GET', route)).toString());
  }

  private request(method: string, route: string, body?: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const headers = body ? { 'content-type': 'application/octet-stream', 'content-length': body.length } : {};
      const request = http.request(`${this.url}${route}`, { method, agent: this.agent, headers }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const answer = Buffer.concat(chunks);
          if ((response.statusCode ?? 500) < 300) resolve(answer);
          else
            reject(new Error(`${method} ${route} answered ${response.statusCode}: ${answer.toString().slice(0, 200)}`));
        });
      });
      request.on('error', reject);
      request.end(body);
    });
  }
}
