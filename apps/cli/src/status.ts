/** How a running stack does: each part's own answer, and the books. */
import { formatUnits } from '@isthmus/bridge';
import { guardianNames } from '@isthmus/store';
import { GatewayClient, type AssetAnswer, type BooksAnswer } from './gateway-client.js';
import { CommandError } from './said.js';
import { portsInUse } from './settings.js';

const ANSWER_MS = 5000;

interface Part {
  ok: boolean;
  code?: string;
  detail?: string;
}

/** @throws CommandError when the gateway does not answer, or some part is not ready. */
export async function status(): Promise<void> {
  const ports = portsInUse(process.env);
  const gateway = new GatewayClient(`http://127.0.0.1:${ports.gateway}`);
  const { parts } = await gateway.get<{ parts: Record<string, Part> }>('/health');
  const lines = Object.entries(parts).map(([name, part]) => line(`gateway ${name}`, part));
  lines.push(...(await aoLines(gateway)));
  for (const [i, name] of guardianNames().entries())
    lines.push(...(await guardianLines(name, `http://127.0.0.1:${ports.guardians + i}/health`)));
  for (const { text } of lines) console.log(text);
  const { assets } = await gateway.get<{ assets: AssetAnswer[] }>('/v1/assets');
  const { books, unread } = await gateway.get<{ books: BooksAnswer[]; unread: { asset: string; detail: string }[] }>(
    '/v1/books',
  );
  for (const book of books) console.log(bookLine(book, assets));
  for (const { asset, detail } of unread) console.log(line(`books ${asset}`, { ok: false, detail }).text);
  if (lines.some((l) => !l.ok) || books.some((b) => !b.ok) || unread.length > 0)
    throw new CommandError('Not everything is well: see the lines marked !! above.');
}

interface GuardianHealth {
  homes: {
    /** CAIP-2 */
    chain: string;
    parts: Record<string, Part>;
    sets: { asset: string; epoch: string; member: boolean }[];
    /** Minted, and taken back by the chain for good. */
    lostDeposits: number;
  }[];
}

interface Line {
  ok: boolean;
  text: string;
}

function line(name: string, { ok, code, detail }: Part): Line {
  const why = ok ? 'ok' : [code, detail].filter(Boolean).join(': ');
  return { ok, text: `${ok ? '  ' : '!!'} ${name.padEnd(28)} ${why}` };
}

interface AoHealth {
  ok: boolean;
  processes: number;
  lag: number;
  deliveries: { waiting: number; dead: number };
  reasons: string[];
}

/** The AO pipeline, and what is noteworthy of it though nothing is wrong. */
async function aoLines(gateway: GatewayClient): Promise<Line[]> {
  const { ok, processes, lag, deliveries, reasons } = await gateway.get<AoHealth>('/v1/ao/health');
  const figures = `${processes} processes, ${lag} slots and ${deliveries.waiting} deliveries wait`;
  return [
    line('gateway AO pipeline', { ok, detail: reasons.join(' ') }),
    { ok: true, text: `${' '.repeat(32)}${figures}` },
    ...(ok ? reasons.map((text) => ({ ok: true, text: `${' '.repeat(32)}${text}` })) : []),
  ];
}

async function guardianLines(name: string, url: string): Promise<Line[]> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS) }).then(
    (r) => r.json() as Promise<GuardianHealth>,
    () => null,
  );
  if (!answer) return [line(name, { ok: false, code: 'unreachable', detail: `${url} does not answer` })];
  return answer.homes.flatMap(({ chain, parts, sets, lostDeposits }) => [
    ...Object.entries(parts).map(([part, health]) => line(`${name} ${chain} ${part}`, health)),
    ...sets
      .filter((s) => !s.member)
      .map((s) => line(`${name} set`, { ok: false, code: 'not-in-set', detail: `${s.asset}, epoch ${s.epoch}` })),
    ...(lostDeposits > 0
      ? [line(`${name} ${chain}`, { ok: false, code: 'lost-deposits', detail: `${lostDeposits}, see its log` })]
      : []),
  ]);
}

function bookLine(book: BooksAnswer, assets: readonly AssetAnswer[]): string {
  const asset = assets.find((a) => a.id === book.asset);
  const units = (v: string): string => formatUnits(BigInt(v), asset?.decimals ?? 0);
  return `${book.ok ? '  ' : '!!'} books ${(asset?.symbol ?? book.asset).padEnd(22)} locked ${units(book.locked)}  supply ${units(book.supply)}  in flight ${units(book.inFlight)}${book.paused ? '  PAUSED by its guardians' : ''}`;
}
