/** An audit's report: what was looked at, what each asset comes to, what was found. The same inputs give the same text, whoever makes it, and so the same hash. */
import { createHash } from 'node:crypto';
import type { AssetLine } from './asset-line.js';
import type { Drawn } from './books.js';
import type { Finding } from './findings.js';

export const REPORT_FORMAT = 'isthmus.audit.1';
/** Findings a report shows; of more, how many. */
const MAX_SHOWN = 1000;

export interface ReportInputs {
  /** CAIP-2, the vault, and the block it was read at. */
  chain: string;
  vault: string;
  height: string;
  blockHash: string;
  /** Milliseconds. */
  blockTime: number;
  /** Milliseconds a deposit, a withdrawal or an attestation may take. */
  patienceMs: number;
  processes: { process: string; slot: number; assignment: string; hashChain: string; code: string }[];
}

/** Figures as decimal strings in base units. */
export type ReportLine = { [K in keyof AssetLine]: AssetLine[K] extends bigint ? string : AssetLine[K] };

export interface AuditReport {
  format: typeof REPORT_FORMAT;
  inputs: ReportInputs;
  result: 'fine' | 'safety' | 'liveness';
  assets: ReportLine[];
  findings: Finding[];
  /** Findings there are besides. */
  more: number;
}

export function reportOf(inputs: ReportInputs, { lines, ...found }: Drawn): AuditReport {
  const findings = found.findings.slice(0, MAX_SHOWN);
  const more = found.more + found.findings.length - findings.length;
  const isUnsafe = found.more > 0 || findings.some((f) => f.kind === 'safety');
  const result = isUnsafe ? 'safety' : findings.length > 0 ? 'liveness' : 'fine';
  return { format: REPORT_FORMAT, inputs, result, assets: lines.map(written), findings, more };
}

function written(line: AssetLine): ReportLine {
  const fields = Object.entries(line).map(([name, value]) => [name, typeof value === 'bigint' ? String(value) : value]);
  return Object.fromEntries(fields) as ReportLine;
}

/** The text that is hashed and signed. */
export const textOf = (report: AuditReport): string => JSON.stringify(report);

/** SHA-256 of the text, hexadecimal. */
export const hashOf = (report: AuditReport): string => createHash('sha256').update(textOf(report)).digest('hex');

/** Two tables: assets, then findings. */
export function csvOf({ inputs, assets, findings }: AuditReport): string {
  const columns = Object.keys(assets[0] ?? {}) as (keyof ReportLine)[];
  return [
    ['height', 'block', ...columns],
    ...assets.map((line) => [inputs.height, inputs.blockHash, ...columns.map((c) => String(line[c]))]),
    [],
    ['kind', 'code', 'asset', 'subject', 'detail'],
    ...findings.map((f) => [f.kind, f.code, f.asset, f.subject, f.detail]),
  ]
    .map((row) => row.map(cell).join(','))
    .join('\r\n');
}

/** Quoted where it must be; what a spreadsheet would take for a formula is text. */
function cell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) && !/^-?[0-9]+$/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
