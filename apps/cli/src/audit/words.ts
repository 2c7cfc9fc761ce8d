/** An audit's report as people read it. */
import { hashOf, type AuditReport, type ReportLine } from '@isthmus/audit';
import { plain, plural, short, table } from '../ao/text.js';

/** The newest bundle that was read, where the schedule came from Arweave. */
export interface Settled {
  sequence: number;
  id: string;
  tx: string;
}

export function jsonOf(report: AuditReport, settled: Settled | null): string {
  return JSON.stringify({ report, hash: hashOf(report), arweave: settled });
}

const COLUMNS: [head: string, of: (line: ReportLine) => string][] = [
  ['ASSET', (l) => assetName(l.asset)],
  ['HAS', (l) => l.balance],
  ['SUPPLY', (l) => l.supply],
  ['IN FLIGHT', (l) => String(BigInt(l.inFlight) - BigInt(l.unattested))],
  ['WAITING', (l) => String(BigInt(l.waiting) + BigInt(l.unmintable))],
  ['CLAIMABLE', (l) => l.claimable],
  ['SURPLUS', (l) => l.surplus],
  ['DEPOSITS', (l) => String(l.deposits)],
  ['MINTS', (l) => String(l.mints)],
  ['BURNS', (l) => String(l.burns)],
  ['RELEASES', (l) => String(l.releases)],
];

const VERDICT = {
  fine: 'fine: every mint has its deposit, every release its burn, and all that is owed is there',
  liveness: 'nothing is missing, but something takes too long',
  safety: 'NOT SAFE: see the findings above',
} as const;

/** Nothing wrong was seen, and not all could be seen. */
const NOT_WHOLE = 'NOT ALL LOOKED AT: what is shown is in order, and some was released for burns that nobody shows yet';

/** Whether every release could be traced: none is for a burn in a slot that was not there to be read. */
export const isAllShown = ({ assets }: AuditReport): boolean => assets.every((line) => line.unshown === '0');

export function inWords(report: AuditReport, settled: Settled | null): string {
  const { inputs, assets, findings, more, result } = report;
  const isWhole = isAllShown(report);
  const rows = assets.map((line) => COLUMNS.map(([, of]) => of(line)));
  return [
    `${inputs.chain}, vault ${inputs.vault}, block ${inputs.height} (${short(inputs.blockHash)}) of ${new Date(inputs.blockTime).toISOString()}`,
    ...inputs.processes.map((p) => `${p.process}, slot ${p.slot} (${short(p.hashChain)}), code ${p.code.slice(0, 12)}`),
    ...(settled ? [`read from Arweave up to bundle ${settled.sequence} (${settled.tx})`] : []),
    '',
    table(
      COLUMNS.map(([head]) => head),
      rows,
    ),
    '',
    ...findings.map((f) =>
      plain(
        `${f.kind === 'safety' ? '!!' : ' .'} ${f.kind} ${f.code}  ${assetName(f.asset)}  ${f.subject}\n     ${f.detail}`,
      ),
    ),
    ...(more > 0 ? [`   and ${plural(more, 'finding')} more`] : []),
    result === 'fine' && !isWhole ? NOT_WHOLE : VERDICT[result],
    ...assets
      .filter((l) => l.unshown !== '0')
      .map(
        (l) =>
          `not looked at yet: ${l.unshown} of ${assetName(l.asset)} was released for burns in slots that are not on Arweave yet: audit again later, or from a gateway`,
      ),
    `report ${hashOf(report)}`,
  ].join('\n');
}

/** Without the chain, which is said once. */
const assetName = (asset: string): string => plain(asset.slice(asset.indexOf('/') + 1));
