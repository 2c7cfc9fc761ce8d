/**
 * The chain of batches: each spends the change of the one before, from the last anchor in final state over what is mined to what M guardians have signed.
 * Whatever pays is on this one chain, so what is paid below a batch is never paid by it again, whoever remembers what (I2).
 */
import { outpointOf, changeOf, decodeProposal, MAX_UNCONFIRMED, type Batch, type VaultCoin } from '@isthmus/chains';
import type { OpenProposal, ProcessView } from '@isthmus/bridge';
import type { Batches } from './batches.js';
import type { ProposalRow } from './rows.js';
import type { BitcoinStore } from './store.js';

/** A place on the chain at which a batch may begin. */
export interface Place {
  /** Its anchor. */
  coin: VaultCoin;
  anchor: string;
  /** What transactions below it pay that are not final yet, and what they spend. */
  paid: ReadonlySet<bigint>;
  spent: ReadonlySet<string>;
  /** Satoshis that those of them cost that are mined and pay nobody. */
  costs: bigint;
  /** How many of them are not mined. */
  unconfirmed: number;
  /** The one right below, while it is not mined. */
  below: Batch | null;
  /** What M guardians have signed over this anchor and is not mined: what a replacement replaces. */
  signed: { row: ProposalRow; batch: Batch; feeRate: bigint } | null;
  /** Ids of what M guardians have signed over it and can never be mined. */
  dead: ReadonlySet<string>;
}

/** Batches that are mined and not final: a day of blocks has fewer. */
const MAX_MINED = 500;

/** Places from the first whose anchor nothing mined has used up to the last; none when the chain has not begun, or was left by a transaction nobody proposed. */
export async function places(store: BitcoinStore, batches: Batches, view: ProcessView): Promise<Place[]> {
  const begun = await begin(store, batches);
  if (!begun) return [];
  const found: Place[] = [];
  const { paid, spent, costs } = begun;
  let { coin } = begun;
  let below: Batch | null = null;
  for (let unconfirmed = 0; unconfirmed <= MAX_UNCONFIRMED; unconfirmed += 1) {
    const anchor = outpointOf(coin);
    const { signed, dead } = await best(store, batches, view, anchor, below);
    found.push({ coin, anchor, paid: new Set(paid), spent: new Set(spent), costs, unconfirmed, below, signed, dead });
    if (!signed) return found;
    below = signed.batch;
    for (const { number } of signed.row.payouts) paid.add(number);
    for (const input of below.inputs) spent.add(outpointOf(input));
    coin = changeOf(below);
  }
  return found;
}

async function begin(
  store: BitcoinStore,
  batches: Batches,
): Promise<{ coin: VaultCoin; paid: Set<bigint>; spent: Set<string>; costs: bigint } | null> {
  const last = await store.lastAnchor();
  const [paid, spent] = [new Set<bigint>(), new Set<string>()];
  let row = last?.coin ?? null;
  let costs = 0n;
  for (let mined = 0; row?.spent && mined < MAX_MINED; mined += 1) {
    const by = await store.proposal(row.spent.by);
    if (!by || row.spent.refund) return null;
    for (const { number } of by.payouts) paid.add(number);
    if (by.payouts.length === 0) costs += await costOf(store, by);
    row = await store.coin(`${by.txid}:0`);
  }
  if (!row || row.spent) return null;
  const [coin] = await batches.coins([row]);
  return coin ? { coin, paid, spent, costs } : null;
}

/** What a mined transaction took of the vault's coins and gave nobody. */
async function costOf(store: BitcoinStore, row: ProposalRow): Promise<bigint> {
  const { spends, outputs } = decodeProposal(row);
  const taken = await store.coinsAt(spends);
  return taken.reduce((sum, c) => sum + c.value, 0n) - outputs.reduce((sum, o) => sum + o.value, 0n);
}

/** Whether no coin beside its anchor went elsewhere, as a deposit does that was refunded meanwhile: then it can never be mined, and is in nobody's way. */
async function isAlive(store: BitcoinStore, { inputs, txid }: Batch): Promise<boolean> {
  const others = inputs.slice(1);
  const rows = await store.coinsAt(others.map(outpointOf));
  return rows.length === others.length && rows.every(({ spent }) => spent === null || spent.by === txid);
}

/** Of several that M guardians have signed over an anchor the one that pays miners best: the others are replaced by it. */
async function best(
  store: BitcoinStore,
  batches: Batches,
  view: ProcessView,
  anchor: string,
  below: Batch | null,
): Promise<Pick<Place, 'signed' | 'dead'>> {
  const open = new Map([...view.proposals.values()].filter((p) => p.anchor === anchor).map((p) => [p.id as string, p]));
  const dead = new Set<string>();
  let found: Place['signed'] = null;
  for (const row of open.size > 0 ? await store.proposalsOver(anchor) : []) {
    const proposal: OpenProposal | undefined = open.get(row.id);
    if (!proposal) continue;
    const made = await batches.signedByEnough(row, proposal, view, below);
    if (!made) continue;
    if (!(await isAlive(store, made.batch))) dead.add(row.id);
    else if (!found || made.feeRate > found.feeRate || (made.feeRate === found.feeRate && row.txid < found.row.txid))
      found = { row, ...made };
  }
  return { signed: found, dead };
}
