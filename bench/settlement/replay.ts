/**
 * What was loaded over HTTP, settled, and rebuilt from Arweave alone: how many times faster than it was loaded, and in how much memory, for
 * a short history and for a long one. The local Arweave, the stopped gateway's PostgreSQL and the replay's own share the machine.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { ethereumSigner, type Signer } from '@isthmus/ao';
import { startReplay, type ReplayMessage, type ReplayReport, type ReplayRequest } from '@isthmus/arweave';
import { Client, deploy, sustained, transfers } from '../ao/http.js';
import { atLeast, atMost, type Figure } from '../figure.js';
import { onStack } from '../stack.js';

const HOLDERS = 100;
/** Tokens that the load is for: a bridge has several. */
const TOKENS = 4;
const SHORT = 5_000;
const LONG = 45_000;
const PATIENCE_MS = 300_000;

export async function replayFigures(): Promise<Figure[]> {
  return onStack({ pollMs: 1000, settles: true }, async (stack) => {
    const load = await Load.open(stack.gatewayUrl);
    await load.send(SHORT);
    const from = stack.arweave?.url ?? '';
    await settled(stack.gatewayUrl);
    const short = await replay({ from, scheduler: load.scheduler });
    const live = await load.send(LONG);
    await settled(stack.gatewayUrl);
    await stack.gateway.stop();
    const long = await replay({ from, scheduler: load.scheduler });
    const rate = (long.slots / long.milliseconds) * 1000;
    console.error(
      `  live ${live.toFixed(0)}/s, replay ${rate.toFixed(0)}/s of ${long.slots} slots; peak ${mb(short)} MB at ${short.slots} slots, ${mb(long)} MB at ${long.slots}`,
    );
    return [
      atLeast('settlement', 'replay.over_transfers', rate / live, 'x', 3, 'the HTTP load that made the same data'),
      atMost('settlement', 'replay.peak_mb', Number(mb(long)), 'MB', 1000),
    ];
  });
}

const mb = ({ peakBytes }: ReplayReport): string => (peakBytes / 1e6).toFixed(0);

/** Transfers of several tokens, sent over HTTP. */
class Load {
  private constructor(
    private readonly url: string,
    readonly scheduler: string,
    private readonly holders: readonly Signer[],
    private readonly tokens: readonly string[],
  ) {}

  static async open(url: string): Promise<Load> {
    const client = new Client(url);
    const { ao } = (await client.json('/v1/chains')) as { ao: { scheduler: string } };
    const holders = Array.from({ length: HOLDERS }, (_, i) =>
      ethereumSigner(`0x${(i + 100).toString(16).padStart(64, '0')}`),
    );
    const tokens: string[] = [];
    for (let i = 0; i < TOKENS; i += 1) tokens.push(await deploy(client, holders, { Bench: String(i) }));
    return new Load(url, ao.scheduler, holders, tokens);
  }

  /** Messages a second, from the first POST until the last result is stored. */
  async send(count: number): Promise<number> {
    const each = await Promise.all(this.tokens.map((t) => transfers(t, this.holders, count / TOKENS)));
    const client = new Client(this.url); // signing took seconds in which no connection was looked after
    const began = performance.now();
    await Promise.all(each.map((items, i) => sustained(client, this.tokens[i] as string, items, 64 / TOKENS)));
    return (count / (performance.now() - began)) * 1000;
  }
}

/** Until all that was placed is on Arweave. */
export async function settled(url: string): Promise<void> {
  const client = new Client(url);
  for (const end = Date.now() + PATIENCE_MS; ;) {
    const { waiting, bundles } = (await client.json('/v1/settlement')) as {
      waiting: { slots: number };
      bundles: { state: string }[];
    };
    if (waiting.slots === 0 && bundles.every((b) => b.state !== 'sealed' && b.state !== 'posted')) return;
    if (Date.now() > end) throw new Error('It was not settled in time.');
    await delay(1000); // looked at again until PATIENCE_MS
  }
}

/** A replay in a process of its own, as the command line runs it. */
export function replay(request: ReplayRequest): Promise<ReplayReport> {
  const child = startReplay(request);
  return new Promise((resolve, reject) => {
    child.on('message', (message: ReplayMessage) => {
      if (message.kind === 'done') resolve(message.report);
      else if (message.kind !== 'progress') reject(new Error(JSON.stringify(message)));
    });
    child.on('exit', () => reject(new Error('The replay ended without a word.')));
  });
}
