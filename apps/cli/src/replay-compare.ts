/** What a gateway shows as of a seal, held against what a replay came to: line by line of the canonical state. */
import { setTimeout as delay } from 'node:timers/promises';
import type { ReplayReport } from '@isthmus/arweave';
import { assetLine, processLine } from '@isthmus/arweave';
import { askGateway, answerIn, MAX_ANSWER } from './ask-gateway.js';
import { CommandError } from './said.js';

/** Lines shown of those that differ. */
const SHOWN = 20;
/** Exit code when the gateway cannot be asked. */
const NOT_COMPARED = 2;
/** How long a gateway may take to come to the seal with its index. */
const PATIENCE_MS = 15_000;

/** The part of `GET /v1/state` that is compared. */
export type ShownState = Pick<ReplayReport, 'state' | 'assets' | 'seal'> & {
  index: string;
  processes: ReplayReport['processes'] | null;
};

/** What differs, in words; nothing when they are equal. @throws CommandError with exit code 2 when the gateway cannot be asked */
export async function differences(report: ReplayReport, gateway: string): Promise<string[]> {
  const shown = await ask(`${gateway.replace(/\/+$/, '')}/v1/state?seal=${report.sequence}`);
  if (shown.seal !== report.seal) return [`seal ${report.sequence} is ${shown.seal} there, ${report.seal} on Arweave`];
  const index =
    report.index === null || shown.index === report.index
      ? []
      : [`index ${shown.index} there, ${report.index} from Arweave (--dump writes what it is made of)`];
  if (shown.state === report.state) return index;
  if (shown.processes === null) return [`state ${shown.state} there, ${report.state} from Arweave`, ...index];
  const [theirs, ours] = [linesOf(shown.processes, shown.assets), linesOf(report.processes, report.assets)];
  const only = (some: ReadonlySet<string>, others: ReadonlySet<string>, where: string): string[] =>
    [...some].filter((line) => !others.has(line)).map((line) => `${where}: ${line}`);
  return [...only(theirs, ours, 'there'), ...only(ours, theirs, 'from Arweave')].slice(0, SHOWN).concat(index);
}

const linesOf = (processes: ReplayReport['processes'], assets: ReplayReport['assets']): Set<string> =>
  new Set([
    ...processes.map(processLine),
    ...assets.map((a) =>
      assetLine({ ...a, minted: BigInt(a.minted), burned: BigInt(a.burned), released: BigInt(a.released) }),
    ),
  ]);

/** Whether there is a gateway to compare with: asked before the hours that a replay may take. @throws CommandError */
export async function assertAnswers(gateway: string): Promise<void> {
  if (!/^https?:\/\//.test(gateway) || !URL.canParse(gateway))
    throw new CommandError(`--compare: write the gateway as https://host, not ${gateway}.`, NOT_COMPARED);
  const { username, password } = new URL(gateway);
  if (username !== '' || password !== '')
    throw new CommandError('--compare: leave name and password out of the address.', NOT_COMPARED);
  await askGateway(`${gateway.replace(/\/+$/, '')}/health`, MAX_ANSWER, {}, NOT_COMPARED);
}

async function ask(url: string): Promise<ShownState> {
  for (const end = Date.now() + PATIENCE_MS; ;) {
    const answer = await askGateway(url, MAX_ANSWER, {}, NOT_COMPARED);
    if (answer.status !== 503 || Date.now() > end) return answerIn(answer, NOT_COMPARED);
    await delay(500); // its index comes to the seal soon: asked again until PATIENCE_MS
  }
}
