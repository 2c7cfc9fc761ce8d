/** A transfer as the API shows it: where it is, why it waits, until when, and the proof of each step (I10). */
import { isFinal, type TransferState } from '@isthmus/bridge';
import type { solana } from '@isthmus/chains';
import { slotKey, type SettledIn } from '@isthmus/arweave';
import type { Pace } from '../homes/home.js';
import type { StepRow, TransferRow } from '../transfers/transfer-store.js';
import type { TimelineStep, TransferView, Waiting } from './schemas.js';

export type { TransferView };

/** What a view needs to know of a transfer's home chain. */
export interface Place {
  /** As people read it. */
  name: string;
  pace: Pace;
  /** Whether this gateway's sources of the chain agree. */
  agreement: boolean;
  /** Newest block seen there, where confirmations are counted. */
  tip: number | null;
}

/** What a view needs to know beyond the row. */
export interface ViewContext {
  /** The home of an asset; null when it is bridged here no more. */
  placeOf: (asset: string) => Place | null;
  /** Token processes that are paused. */
  paused: ReadonlySet<string>;
  /** Withdrawals that the guardians' policy has wait for settlement, by id. */
  unsettled: ReadonlySet<string>;
}

export function transferView(row: TransferRow, context: ViewContext): TransferView {
  return {
    id: row.id,
    direction: row.direction,
    state: row.state,
    waiting: waitingOf(row, context),
    confirmations: confirmationsOf(row, context.placeOf(row.asset)),
    asset: row.asset,
    amount: row.amount,
    fee: row.fee,
    maxFee: row.max_fee,
    sender: row.sender,
    recipient: row.recipient,
    number: row.number,
    reference: row.reference,
    sourceTx: row.source_tx,
    releaseTx: row.release_tx,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
  };
}

/** Steps as the timeline shows them; `settled` is where slots are on Arweave, by `slotKey`. */
export function timelineView(
  process: string,
  steps: readonly StepRow[],
  settled: ReadonlyMap<string, SettledIn>,
): TimelineStep[] {
  return steps.map((step) => {
    const slot = slotOf(step);
    return {
      kind: step.kind as TimelineStep['kind'],
      at: step.at.toISOString(),
      proof: step.proof,
      settlement: slot === null ? null : (settled.get(slotKey(process, slot)) ?? null),
    };
  });
}

/** Slot of the AO message a step is of; null for what happened on the chain. */
export function slotOf({ proof }: Pick<StepRow, 'proof'>): number | null {
  const { message, slot } = proof;
  return typeof message === 'string' && typeof slot === 'number' ? slot : null;
}

/** States in which a block's confirmations are waited for. */
const COUNTED: ReadonlySet<TransferState> = new Set(['confirming', 'submitted']);

function confirmationsOf(row: TransferRow, place: Place | null): { have: number; need: number } | null {
  const { required, block_number: height } = row;
  if (required === null || height === null || !COUNTED.has(row.state)) return null;
  const above = (place?.tip ?? Number(height)) - Number(height);
  return { have: Math.max(above + 1, 1), need: required };
}

/** Why a payment is not credited, for people. */
const REFUSALS: Readonly<Record<string, string>> = {
  'below-minimum': 'it is less than the least deposit',
  'refund-near': 'its depositor can take it back before it could be gathered',
  'memo-missing': 'it names no recipient: the vault needs a memo',
  'memo-twice': 'it has more than one memo',
  'memo-too-long': 'its memo is too long',
  'memo-malformed': 'its memo has another form',
};

/** States that end by what this gateway sees on the chain. */
const ON_CHAIN: ReadonlySet<TransferState> = new Set(['seen', 'confirming', 'orphaned', 'submitted']);

function waitingOf(row: TransferRow, { placeOf, paused, unsettled }: ViewContext): Waiting | null {
  if (isFinal(row.state)) return null;
  const place = placeOf(row.asset);
  if (!place)
    return {
      reason: 'relayer',
      detail: 'This gateway bridges its asset no more; guardians and other gateways may go on with it.',
      expected: null,
    };
  const { name, agreement } = place;
  const { finality, block, look } = place.pace;
  const after = (seconds: number, from: Date = row.updated_at): string =>
    new Date(Math.max(from.getTime() + seconds * 1000, Date.now())).toISOString();
  const stopped = paused.has(row.process) && row.state !== 'seen' && row.state !== 'confirming';
  if (stopped)
    return {
      reason: 'paused',
      detail: 'The guardians have paused this asset; it goes on when they unpause it.',
      expected: null,
    };
  const attested = row.state === 'submitted' && row.told.includes('release-attested');
  if (!agreement && ON_CHAIN.has(row.state) && !attested)
    return {
      reason: 'rpc-agreement',
      detail: `This gateway’s sources of ${name} do not agree: it goes on seeing when they do. The guardians look for themselves.`,
      expected: null,
    };
  if (row.told.includes('conflict') && (row.state === 'attesting' || row.state === 'submitted'))
    return {
      reason: 'conflict',
      detail: 'Guardians have stated different things about it; it goes on when enough of them state the same.',
      expected: null,
    };
  switch (row.state) {
    case 'seen':
    case 'confirming':
      return {
        reason: 'confirmations',
        detail: confirmingDetail(row, place),
        expected: after(finality + look, row.created_at),
      };
    case 'orphaned':
      return {
        reason: 'reorg',
        detail: 'The chain has dropped the block with this deposit; it goes on when the transaction is included again.',
        expected: null,
      };
    case 'attesting':
      return {
        reason: 'attestations',
        detail: 'Final on its chain; it is minted when enough guardians have attested it.',
        expected: after(look),
      };
    case 'queued':
    case 'signing':
      if (unsettled.has(row.id))
        return {
          reason: 'settlement',
          detail: 'A large amount: the guardians sign its release when anyone can read on Arweave that it was burned.',
          expected: null,
        };
      if (row.state === 'queued' && row.waits !== null) return { ...unpayable(row.waits), expected: null };
      return {
        reason: 'signatures',
        detail: 'Burned on AO; the guardians are signing its release.',
        expected: after(look),
      };
    case 'ready':
      return {
        ...readyReason(row.waits),
        expected: row.waits === null ? after(look) : null,
      };
    case 'submitted':
      if (attested)
        return {
          reason: 'release-attestations',
          detail: 'Paid on its chain; it is done when enough guardians have attested that.',
          expected: after(look),
        };
      return {
        reason: 'finality',
        detail: submittedDetail(row, place),
        expected: after(block + finality + look),
      };
    default:
      return null;
  }
}

/** Why a withdrawal’s recipient cannot be paid now, for people. */
const UNPAYABLE: Readonly<Record<Extract<solana.RecipientStanding, { payable: false }>['why'], string>> = {
  frozen: 'the issuer of the token has frozen the recipient’s account',
  'not-theirs': 'the recipient’s token account belongs to somebody else',
  'below-rent': 'the recipient has no account, and this is less than a new one must hold',
  'not-a-wallet': 'what is at the recipient’s address is no wallet',
};

const isUnpayable = (waits: string): waits is keyof typeof UNPAYABLE => Object.hasOwn(UNPAYABLE, waits);

/** Why the guardians do not sign what was burned. */
function unpayable(waits: string): Pick<Waiting, 'reason' | 'detail'> {
  if (isUnpayable(waits))
    return { reason: 'recipient', detail: `Burned on AO, and paid when that can be: ${UNPAYABLE[waits]}.` };
  return {
    reason: 'fee-too-low',
    detail:
      'Its Max-Fee, or its amount, does not cover what paying it alone costs now: it goes when that is less, or others share the cost.',
  };
}

function confirmingDetail(row: TransferRow, place: Place): string {
  const counted = confirmationsOf(row, place);
  const count = counted ? ` ${Math.min(counted.have, counted.need)} of ${counted.need} confirmations.` : '';
  const refusal = row.waits === null ? undefined : REFUSALS[row.waits];
  if (refusal !== undefined) return `It will not be credited: ${refusal}.${count}`;
  return `Waiting for ${place.name} to make the deposit final.${count}`;
}

function submittedDetail(row: TransferRow, place: Place): string {
  const counted = confirmationsOf(row, place);
  if (counted)
    return `In a block of ${place.name}: ${Math.min(counted.have, counted.need)} of ${counted.need} confirmations.`;
  if (row.waits === 'fee-too-low')
    return `${place.name} takes it only at a higher fee now: the guardians sign it again.`;
  return `Sent to ${place.name}; done when the release is final and attested.`;
}

function readyReason(waits: string | null): Pick<Waiting, 'reason' | 'detail'> {
  switch (waits) {
    case 'limit':
      return { reason: 'limit', detail: 'The asset’s outflow limit is used up for now and frees again over time.' };
    case 'fee-too-low':
      return {
        reason: 'fee-too-low',
        detail: 'Its Max-Fee does not cover the present cost; it goes when the price falls, and anyone may submit it.',
      };
    case 'paused':
      return { reason: 'paused', detail: 'The vault is paused by the guardians.' };
    case 'rotation':
      return { reason: 'rotation', detail: 'The guardian set is changing; the new set signs again.' };
    case 'signatures':
      return { reason: 'signatures', detail: 'Not enough of its signatures are good yet.' };
    default:
      return { reason: 'relayer', detail: 'Fully signed; the relayer submits it next.' };
  }
}
