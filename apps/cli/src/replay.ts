/**
 * `isthmus replay`: the whole of a scheduler's settlement read from Arweave and evaluated again on this machine, believing nobody, and
 * what comes of it held against what a gateway shows.
 */
import type { ChildProcess } from 'node:child_process';
import path from 'node:path';
import { signerOfFile } from '@isthmus/ao';
import { startReplay, type Finding, type ReplayMessage, type ReplayReport, type ReplayRequest } from '@isthmus/arweave';
import { stateFolder } from '@isthmus/store';
import { assertAnswers, differences } from './replay-compare.js';
import { ProgressLine } from './replay-progress.js';
import { runningStack } from './running.js';
import { CommandError } from './said.js';
import { localSources, portsInUse } from './settings.js';

/** Exit code when it could not be done; 1 says that something is wrong with what was settled. */
const COULD_NOT = 2;

export interface ReplayOptions {
  from?: string;
  scheduler?: string;
  process?: string[];
  rpc?: string[];
  chain?: string;
  fromBlock?: string;
  checkpoint?: boolean;
  into?: string;
  tail?: string[];
  compare?: string;
  dump?: string;
  json?: boolean;
}

/** @throws CommandError with exit code 1 when something is wrong or differs, 2 when it could not be done */
export async function replay(options: ReplayOptions): Promise<void> {
  const { request, compare } = plan(options);
  if (compare !== undefined) await assertAnswers(compare);
  const ended = await run(request, options.json ?? false);
  if (ended.kind === 'finding') return wrong(ended.finding, options.json);
  if (ended.kind === 'failed') throw new CommandError(ended.message, COULD_NOT);
  const { report } = ended;
  const different = compare === undefined ? [] : await differences(report, compare);
  if (options.json)
    console.log(JSON.stringify({ ok: different.length === 0, report, compared: compare ?? null, different }));
  else console.log(words(report, compare, different));
  if (report.stopped.length > 0) throw new CommandError(stoppedWords(report), COULD_NOT);
  const early = report.books.flatMap((book) => book.early.map((payment) => ({ ...payment, process: book.process })));
  if (early.length > 0) throw new CommandError(early.map(earlyWords).join('\n'), COULD_NOT);
  if (different.length > 0) throw new CommandError(`${compare} shows another state than what is on Arweave gives.`);
}

/** What is asked for, or the local stack's own. @throws CommandError */
function plan(options: ReplayOptions): { request: ReplayRequest; compare: string | undefined } {
  const { from, scheduler, process: processes, rpc, chain, fromBlock, checkpoint, into, tail, compare, dump } = options;
  const more = { processes, checkpoint, into, tail, dump, fromBlock: blockOf(fromBlock) };
  if (from !== undefined) {
    if (scheduler === undefined)
      throw new CommandError(
        'Name the scheduler whose settlement is to be read: --scheduler <address>; GET /v1/chains of its gateway tells.',
        COULD_NOT,
      );
    return { request: { ...more, from, scheduler, rpc, chain }, compare };
  }
  const home = stateFolder();
  const ports = portsInUse(process.env);
  if (runningStack(home) === null)
    throw new CommandError(
      `No stack runs from ${home}: start it (npm start), or say where to read with --from <arweave url>.`,
      COULD_NOT,
    );
  const local = (port: number): string => `http://127.0.0.1:${port}`;
  const own = scheduler ?? signerOfFile(path.join(home, 'keys', 'scheduler.key')).address;
  const source =
    rpc === undefined ? { rpc: localSources(home).map(({ chain: of, url }) => `${of}=${url}`) } : { rpc, chain };
  const request = { ...more, from: local(ports.arweave ?? 0), scheduler: own, ...source };
  return { request, compare: compare ?? local(ports.gateway) };
}

function blockOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^(0|[1-9][0-9]{0,14})$/.test(text)) throw new CommandError('--from-block is the number of a block.', COULD_NOT);
  return Number(text);
}

type Ended = Exclude<ReplayMessage, { kind: 'progress' }>;

/** The replay as a process of its own, which ends with this one. */
async function run(request: ReplayRequest, quiet: boolean): Promise<Ended> {
  const child = startReplay(request);
  const line = quiet ? null : new ProgressLine(process.stderr);
  try {
    return await endOf(child, (message) => line?.show(message));
  } finally {
    line?.end();
    child.kill();
  }
}

function endOf(child: ChildProcess, onProgress: (progress: Extract<ReplayMessage, { kind: 'progress' }>) => void) {
  return new Promise<Ended>((resolve, reject) => {
    let ended: Ended | null = null;
    child.on('message', (message: ReplayMessage) => {
      if (message.kind === 'progress') onProgress(message);
      else ended = message;
    });
    child.on('error', reject);
    child.on('exit', (code, signal) =>
      resolve(ended ?? { kind: 'failed', message: `The replay ended without a word (${signal ?? code}).` }),
    );
  });
}

function wrong(finding: Finding, json: boolean | undefined): never {
  if (json) console.log(JSON.stringify({ ok: false, finding }));
  const { kind, message, bundle, tx, process: at, slot, item } = finding;
  const places: [string, string | number | null][] = [
    ['bundle', bundle],
    ['transaction', tx],
    ['process', at],
    ['slot', slot],
    ['item', item],
  ];
  const where = places.flatMap(([name, value]) => (value === null ? [] : [`  ${name.padEnd(12)} ${value}`]));
  throw new CommandError([`NOT as it was settled: ${kind}`, `  ${message}`, ...where].join('\n'));
}

const count = (n: number): string => n.toLocaleString('en-US');

function words(report: ReplayReport, compare: string | undefined, different: readonly string[]): string {
  const seconds = report.milliseconds / 1000;
  const lines = [
    `replayed: ${count(report.slots)} slots of ${count(report.processes.length)} processes in ${count(report.bundles)} bundles (${(report.bytes / 1e6).toFixed(1)} MB), ${count(report.evaluated)} evaluated, ${seconds.toFixed(1)} s, ${count(Math.round(report.slots / seconds))} slots/s`,
    `  scheduler  ${report.scheduler}`,
    `  last seal  ${report.seal}  (bundle ${report.sequence})`,
    `  state      ${report.state}`,
    report.index === null
      ? '  index      not made from checkpoints'
      : `  index      ${report.index}  (${count(report.transfers ?? 0)} transfers)`,
    ...report.assets.map((a) => {
      const book = report.books.find((b) => b.process === a.process);
      const held = book
        ? `; the vault holds ${book.locked} at block ${book.height}`
        : report.books.length > 0
          ? '; its chain was not read'
          : '';
      return `  ${a.asset}  minted ${a.minted}, burned ${a.burned}, released ${a.released}${held}`;
    }),
  ];
  if (report.fromCheckpoints === 0)
    lines.push('  checkpoint none was settled yet: every process was evaluated from slot 0');
  else if (report.fromCheckpoints !== null)
    lines.push(
      `  checkpoint ${count(report.fromCheckpoints)} of ${count(report.processes.length)} processes began at theirs`,
    );
  for (const { process: at, from, to } of report.tail)
    lines.push(`  tail       slots ${count(from)} to ${count(to)} of ${at}, behind the last seal`);
  if (compare !== undefined)
    lines.push(
      different.length === 0
        ? `equal to what ${compare} shows as of this seal`
        : `NOT equal to what ${compare} shows as of this seal:`,
      ...different.map((d) => `  ${d}`),
    );
  return lines.join('\n');
}

const earlyWords = ({ process: at, number, tx }: { process: string; number: string; tx: string }): string =>
  `Transaction ${tx} pays withdrawal ${number} of ${at}, and nothing that is settled explains it: replay again once more is settled.`;

const stoppedWords = ({ stopped }: ReplayReport): string =>
  stopped
    .map(({ process: at, slot, reason }) => `Process ${at} cannot be evaluated beyond slot ${slot} here: ${reason}`)
    .join('\n');
