/**
 * Proposed releases as the index keeps them: the open proposals of each process with their signatures, and what they do to the withdrawals they
 * pay. Written by the projector alone; relayers read them, and believe no signature they have not checked.
 */
import { parseProposalLine, type BridgeEvent, type ReleaseProposal } from '@isthmus/bridge';
import type { DataSource, EntityManager } from 'typeorm';
import type { Hex } from 'viem';
import type { Move, StepRow, TransferStore } from './transfer-store.js';

export type ProposalEvent = Extract<BridgeEvent, { type: `proposal.${string}` }>;

/** An event about a proposal, with the AO message that brought it. */
export interface ProposalVoice {
  event: ProposalEvent;
  message: string;
  slot: number;
  at: Date;
}

/** A proposal that can still be carried out, as far as its process knows. */
export interface KnownProposal extends ReleaseProposal {
  process: string;
  id: Hex;
  /** Who proposed it. */
  guardian: Hex;
  /** As they came. */
  signatures: { guardian: Hex; signatures: string }[];
}

/** Open proposals read at once: a process keeps 32 of each guardian (docs/protocol.md), of 15 guardians at most, and pays most of them soon. */
const READ_AT_ONCE = 512;

/** The open proposals of some processes, oldest first. */
export async function openProposals(database: DataSource, processes: readonly string[]): Promise<KnownProposal[]> {
  const rows: {
    process: string;
    id: Hex;
    guardian: Hex;
    epoch: string;
    anchor: string;
    withdrawals: string[];
    content: string;
    signatures: KnownProposal['signatures'] | null;
  }[] = await database.query(
    `select p.process, p.id, p.guardian, p.epoch, p.anchor, p.withdrawals, p.content,
       (select json_agg(json_build_object('guardian', s.guardian, 'signatures', s.signatures) order by s.slot, s.guardian)
        from proposal_signature s where s.process = p.process and s.proposal = p.id) as signatures
     from proposal p where p.process = any($1) order by p.slot, p.id limit ${READ_AT_ONCE}`,
    [processes],
  );
  return rows.map((r) => ({
    ...r,
    epoch: BigInt(r.epoch),
    withdrawals: r.withdrawals.map(BigInt),
    signatures: r.signatures ?? [],
  }));
}

/** Takes in what was said about proposals, in order. `released` are the numbers of withdrawals that are done by the same slots. */
export async function takeProposals(
  manager: EntityManager,
  store: TransferStore,
  process: string,
  voices: readonly ProposalVoice[],
  { threshold, released }: { threshold: number; released: ReadonlySet<bigint> },
): Promise<void> {
  for (const { event, message, slot, at } of voices) {
    const idsOf = (numbers: readonly bigint[]) => store.withdrawalIds(manager, process, numbers);
    const moves = (ids: ReadonlyMap<string, string>): Move[] => [...ids.values()].map((id) => ({ id, at }));
    const say = async (ids: ReadonlyMap<string, string>, kind: string, guardian: Hex): Promise<void> => {
      const key = `${kind} ${event.id} ${guardian}`;
      const proof = { message, slot, guardian, proposal: event.id };
      const steps = [...ids.values()].map((transfer): StepRow => ({ transfer, key, at, kind, proof }));
      await store.addSteps(manager, steps);
    };
    switch (event.type) {
      case 'proposal.made': {
        const { epoch, anchor, withdrawals, content } = parseProposalLine(event.line);
        await manager.query(
          'insert into proposal (process, id, guardian, epoch, anchor, withdrawals, content, slot) values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing',
          [process, event.id, event.guardian, String(epoch), anchor, withdrawals.map(String), content, slot],
        );
        await say(await idsOf(withdrawals), 'proposed', event.guardian);
        break;
      }
      case 'proposal.signed': {
        const known: { withdrawals: string[] }[] = await manager.query(
          'select withdrawals from proposal where process = $1 and id = $2',
          [process, event.id],
        );
        if (!known[0]) break;
        await manager.query(
          'insert into proposal_signature (process, proposal, guardian, signatures, slot) values ($1, $2, $3, $4, $5) on conflict do nothing',
          [process, event.id, event.guardian, event.signatures, slot],
        );
        const ids = await idsOf(known[0].withdrawals.map(BigInt));
        await say(ids, 'signed', event.guardian);
        await store.moveEach(manager, moves(ids), ['queued'], 'signing');
        if (event.guardians >= threshold) await store.moveEach(manager, moves(ids), ['queued', 'signing'], 'ready');
        break;
      }
      case 'proposal.dropped': {
        const unsigned = await dropped(manager, process, event.id);
        const ids = await idsOf(unsigned.filter((n) => !released.has(n)));
        await store.moveEach(manager, moves(ids), ['signing', 'ready'], 'queued');
        break;
      }
    }
  }
}

/** What a set that leaves has proposed counts no more. */
export async function forgetProposals(manager: EntityManager, process: string): Promise<void> {
  await manager.query('delete from proposal where process = $1', [process]);
}

/** Forgets a proposal; the numbers it would have paid that no other one with a signature pays. */
async function dropped(manager: EntityManager, process: string, id: Hex): Promise<bigint[]> {
  const [rows]: [{ withdrawals: string[] }[], number] = await manager.query(
    'delete from proposal where process = $1 and id = $2 returning withdrawals',
    [process, id],
  );
  const left: { number: string }[] = await manager.query(
    `select n as number from unnest($2::bigint[]) as n where not exists (
       select 1 from proposal p join proposal_signature s on s.process = p.process and s.proposal = p.id
       where p.process = $1 and n = any(p.withdrawals))`,
    [process, rows[0]?.withdrawals ?? []],
  );
  return left.map(({ number }) => BigInt(number));
}
