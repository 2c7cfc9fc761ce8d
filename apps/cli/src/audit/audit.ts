/** `isthmus audit`: the bridge audited from here, once or again and again; the exit code says what was found. */
import fs from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { IsthmusNetwork, parseItem, tagOf } from '@isthmus/ao';
import { ArweaveSource } from '@isthmus/arweave';
import { AuditError, Auditor, csvOf, SettledNetwork, type AuditorOptions, type AuditReport } from '@isthmus/audit';
import { BridgeError, familyOf, type ChainFamily } from '@isthmus/bridge';
import type { Deployment } from '@isthmus/devnet';
import { sourceHash, stateFolder, tokenSource } from '@isthmus/store';
import { answerIn, askGateway } from '../ask-gateway.js';
import { CommandError } from '../said.js';
import { localSources, portsInUse } from '../settings.js';
import { inWords, isAllShown, jsonOf } from './words.js';

/** Nothing is wrong; money is or may be gone; only something takes too long; no audit could be made. */
export const EXIT = { fine: 0, safety: 1, 'not-made': 2, liveness: 3 } as const;
/** What was not there to be looked at yet takes too long like anything else: it is not fine. */
export const exitCodeOf = (report: AuditReport): number =>
  report.result === 'fine' && !isAllShown(report) ? EXIT.liveness : EXIT[report.result];

/** Of a gateway's answer. */
const MAX_ANSWER = 4 * 1024 * 1024;

export interface AuditOptions {
  rpc?: string[];
  chain?: string;
  from?: string;
  gateway?: string;
  process?: string[];
  scheduler?: string;
  startHeight?: bigint;
  finality?: AuditorOptions['chain']['finality'];
  height?: bigint;
  slot?: number;
  patience: number;
  code?: string[];
  json?: boolean;
  csv?: boolean;
  every?: number;
}

/** Prints reports; sets the exit code by the last one. @throws CommandError with exit code 2 when none could be made */
export async function audit(options: AuditOptions): Promise<void> {
  if (options.json && options.csv) throw new CommandError('Give --json or --csv, not both.', EXIT['not-made']);
  if (options.every !== undefined && (options.height !== undefined || options.slot !== undefined))
    throw new CommandError('--every goes on with what is new: it takes no --height and no --slot.', EXIT['not-made']);
  if (options.chain !== undefined) familyIn(options.chain);
  const { every } = options;
  const works = (await homesOf(options)).map((chain) => new Work({ ...options, chain }));
  const [only, another] = works;
  if (only && !another) await only.prepare(); // what is told wrong is said at once, not in every round
  const round = (): Promise<void> => eachOf(works);
  try {
    if (every === undefined) return await round();
    await again(every, round);
  } finally {
    for (const work of works) await work.close();
  }
}

/** Every home is audited, also when one before it could not be. @throws CommandError that names those which could not be */
async function eachOf(works: readonly Work[]): Promise<void> {
  const codes: number[] = [];
  const failed: { chain: string | undefined; why: string }[] = [];
  for (const work of works)
    try {
      codes.push(await work.once());
    } catch (error) {
      if (!(error instanceof CommandError) || works.length === 1) throw error;
      codes.push(error.exitCode);
      failed.push({ chain: work.chain, why: error.message });
    }
  process.exitCode = worstOf(codes);
  if (failed.length === 0) return;
  const lines = failed.map(({ chain, why }) => `  ${chain ?? 'Ethereum'}: ${why}`);
  throw new CommandError(
    [`Of ${works.length} home chains ${failed.length} could not be audited:`, ...lines].join('\n'),
    worstOf(codes),
  );
}

/** Of several audits the worst is said. */
const worstOf = (codes: readonly number[]): number =>
  [EXIT.safety, EXIT['not-made'], EXIT.liveness].find((code) => codes.includes(code)) ?? EXIT.fine;

/** The home chains that are audited, one after another: the one that is named, or all that the local stack has. */
async function homesOf({
  chain,
  gateway,
  process: processes,
  rpc,
  height,
  slot,
}: AuditOptions): Promise<(string | undefined)[]> {
  if (chain !== undefined || gateway !== undefined || processes !== undefined || rpc !== undefined) return [chain];
  const { chains } = await ask<{ chains: ShownChain[] }>(localGateway(), '/v1/chains').catch(() => ({ chains: [] }));
  const ids = chains.map((c) => c.id);
  if (ids.length > 1 && (height !== undefined || slot !== undefined))
    throw new CommandError(
      `--height and --slot are of one home: name it with --chain; there are ${ids.join(', ')}.`,
      EXIT['not-made'],
    );
  if (ids.length > 0) return ids;
  console.error('The local gateway does not answer: only Ethereum, whose home the deployment tells, is audited.');
  return [chain];
}

const localGateway = (): string => `http://127.0.0.1:${portsInUse(process.env).gateway}`;

/** Until the process is told to end. */
async function again(seconds: number, act: () => Promise<void>): Promise<void> {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  while (!stop.signal.aborted) {
    await act().catch((error: unknown) => {
      if (!(error instanceof CommandError)) throw error;
      process.exitCode = error.exitCode;
      console.error(error.message);
    });
    await delay(seconds * 1000, undefined, { signal: stop.signal }).catch(() => undefined);
  }
}

/** One auditor, which goes on; after a failure a new one, which begins anew. */
class Work {
  private what: (() => AuditorOptions) | null = null;
  private auditor: Auditor | null = null;
  private network: AuditorOptions['network'] | null = null;

  constructor(private readonly options: AuditOptions) {}

  get chain(): string | undefined {
    return this.options.chain;
  }

  /** Finds out what is to be audited. @throws CommandError */
  async prepare(): Promise<() => AuditorOptions> {
    return (this.what ??= await whatToAudit(this.options));
  }

  /** The exit code it comes to. @throws CommandError */
  async once(): Promise<number> {
    const { options } = this;
    try {
      const report = await this.report(options);
      const settled = this.network instanceof SettledNetwork ? this.network.last : null;
      console.log(options.csv ? csvOf(report) : options.json ? jsonOf(report, settled) : inWords(report, settled));
      return exitCodeOf(report);
    } catch (error) {
      await this.close();
      if (!(error instanceof AuditError)) throw error;
      throw new CommandError(`No audit could be made (${error.code}): ${error.message}`, EXIT['not-made']);
    }
  }

  async close(): Promise<void> {
    await this.auditor?.close();
    this.auditor = null;
  }

  private async report({ height, slot }: AuditOptions): Promise<AuditReport> {
    if (!this.auditor) {
      const what = (await this.prepare())();
      this.network = what.network;
      this.auditor = await Auditor.open(what);
    }
    return this.auditor.audit({ height, slot });
  }
}

/** What a source says of the bridge; it decides nothing: what is wrong in it keeps an audit from being made. */
interface Known {
  processes: string[];
  startHeight: bigint;
  scheduler: string | undefined;
}

/** What a gateway shows of a home chain, as far as an audit has a use for it. */
interface ShownChain {
  id: string;
  deployBlock?: number;
}

async function whatToAudit(options: AuditOptions): Promise<() => AuditorOptions> {
  const { gateway, from } = options;
  const isLocal = gateway === undefined && options.process === undefined;
  const known = isLocal
    ? await localStack(options.chain)
    : gateway === undefined
      ? null
      : await toldBy(gateway, options.chain);
  const processes = options.process ?? known?.processes ?? [];
  if (processes.length === 0)
    throw new CommandError(
      'Which processes are audited? Name them with --process, or a --gateway that lists them.',
      EXIT['not-made'],
    );
  const rpcUrls = options.rpc ?? (isLocal ? localNodes(options.chain) : []);
  if (rpcUrls.length === 0) throw new CommandError('Name RPC sources of the chain with --rpc.', EXIT['not-made']);
  const scheduler = options.scheduler ?? known?.scheduler;
  if (from !== undefined && scheduler === undefined)
    throw new CommandError('Whose bundles are read? Name the scheduler’s address with --scheduler.', EXIT['not-made']);
  const url = gateway ?? localGateway();
  const network = (): AuditorOptions['network'] =>
    from === undefined
      ? new IsthmusNetwork(url)
      : new SettledNetwork(new ArweaveSource(from), scheduler ?? '', processes);
  const code = options.code ?? [sourceHash(tokenSource())];
  return () => ({
    chain: {
      rpcUrls,
      finality: options.finality,
      startHeight: options.startHeight ?? known?.startHeight ?? 0n,
    },
    processes,
    network: network(),
    scheduler: options.scheduler,
    patienceMs: options.patience * 60_000,
    knownCode: code.includes('any') ? [] : code,
  });
}

/** The home of Ethereum is told by what was deployed, so that an audit needs no gateway; others by the local gateway. */
async function localStack(chain: string | undefined): Promise<Known> {
  const file = path.join(stateFolder(), 'deployment.json');
  if (!fs.existsSync(file))
    throw new CommandError(
      `There is no local stack in ${stateFolder()}: start one with "npm start", or name --rpc and --gateway or --from.`,
      EXIT['not-made'],
    );
  const { chainId, assets, deployBlock, items } = JSON.parse(fs.readFileSync(file, 'utf8')) as Deployment;
  if (chain !== undefined && chain !== `eip155:${chainId}`) return toldBy(localGateway(), chain);
  const spawns = items.map((item) => parseItem(Buffer.from(item, 'base64')));
  const processes = assets.map((a) => a.process);
  const spawn = spawns.find(({ id }) => id === processes[0]);
  return { processes, startHeight: BigInt(deployBlock), scheduler: spawn && tagOf(spawn, 'Scheduler') };
}

/** The local stack's own nodes of a chain, Ethereum's unless told, with their logins where they have any. */
const localNodes = (chain: string | undefined): string[] =>
  localSources(stateFolder())
    .filter((source) => (chain === undefined ? source.chain.startsWith('eip155:') : source.chain === chain))
    .map(({ url }) => url);

/** @throws CommandError for what names no chain */
function familyIn(chain: string): ChainFamily {
  try {
    return familyOf(chain);
  } catch (error) {
    if (!(error instanceof BridgeError)) throw error;
    throw new CommandError(
      `--chain ${chain} names no chain: write eip155:<chain id>, bip122:<first 32 digits of its first block’s hash> or solana:<first 32 letters of its genesis hash>; GET /v1/chains of a gateway lists its own.`,
      EXIT['not-made'],
    );
  }
}

/** What a gateway says of one home chain: an auditor looks at one vault. */
async function toldBy(gateway: string, wanted: string | undefined): Promise<Known> {
  const { chains, ao } = await ask<{ chains: ShownChain[]; ao: { scheduler: string } }>(gateway, '/v1/chains');
  const { assets } = await ask<{ assets: { process: string; chain: string }[] }>(gateway, '/v1/assets');
  const [chain, another] = chains.filter((c) => wanted === undefined || c.id === wanted);
  if (!chain || another) {
    const ids = chains.map((c) => c.id).join(', ') || 'none';
    throw new CommandError(
      wanted === undefined
        ? `Say with --chain which home chain of ${gateway} is audited; it has ${ids}.`
        : `${gateway} has no home chain ${wanted}; it has ${ids}.`,
      EXIT['not-made'],
    );
  }
  const processes = assets.filter((a) => a.chain === chain.id).map((a) => a.process);
  return { processes, startHeight: BigInt(chain.deployBlock ?? 0), scheduler: ao.scheduler };
}

async function ask<T>(gateway: string, route: string): Promise<T> {
  return answerIn(await askGateway(gateway + route, MAX_ANSWER, {}, EXIT['not-made']), EXIT['not-made']);
}
