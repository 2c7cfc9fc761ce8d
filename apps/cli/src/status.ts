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
  const width = Math.max(...lines.map(({ name }) => name.length));
  for (const one of lines) console.log(shown(one, width));
  const { assets } = await gateway.get<{ assets: AssetAnswer[] }>('/v1/assets');
  const { books, unread } = await gateway.get<{ books: BooksAnswer[]; unread: { asset: string; detail: string }[] }>(
    '/v1/books',
  );
  const booksRead = books.map((book) => bookLine(book, assets));
  const booksUnread = unread.map(({ asset, detail }) => line(`books ${asset}`, { ok: false, detail }));
  for (const one of [...booksRead, ...booksUnread]) console.log(shown(one, width));
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
  /** Empty where it goes on from the line above. */
  name: string;
  says: string;
}

const shown = ({ ok, name, says }: Line, width: number): string => `${ok ? '  ' : '!!'} ${name.padEnd(width)} ${says}`;

function line(name: string, { ok, code, detail }: Part): Line {
  return { ok, name, says: ok ? 'ok' : [code, detail].filter(Boolean).join(': ') };
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
    { ok: true, name: '', says: figures },
    ...(ok ? reasons.map((says) => ({ ok: true, name: '', says })) : []),
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

function bookLine(book: BooksAnswer, assets: readonly AssetAnswer[]): Line {
  const asset = assets.find((a) => a.id === book.asset);
  const units = (v: string): string => formatUnits(BigInt(v), asset?.decimals ?? 0);
  const paused = book.paused ? '  PAUSED by its guardians' : '';
  return {
    ok: book.ok,
    name: `books ${asset?.symbol ?? book.asset}`,
    says: `locked ${units(book.locked)}  supply ${units(book.supply)}  in flight ${units(book.inFlight)}${paused}`,
  };
}
