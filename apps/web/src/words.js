/** What people type and what the gateway refuses, in words for people. */

/** A problem's words: each wrong field by its reason alone, for whoever has the field before them. */
export function wordsOf(problem) {
  if (!problem?.detail) return null;
  const reasons = (problem.code === 'bad-request' && problem.errors?.map((e) => e.reason)) || [];
  return reasons.length > 0 ? sentence(reasons.join('; ')) : problem.detail;
}

function sentence(text) {
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(capital) || /0x[0-9a-zA-Z]+$/.test(capital) ? capital : `${capital}.`;
}

/** Tags as they are written, one a line. @throws Error for a line that is none, in words for people */
export function tagsOf(text) {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  return lines.map((line) => {
    const [, name, value] = /^\s*([^=\s]+)=(.*?)\r?$/.exec(line) ?? [];
    if (name === undefined) throw new Error(`Write a tag as X-Name=value, one a line: ${line.trim()} is none.`);
    return { name, value };
  });
}

const SIGNATURE = /^[1-9A-HJ-NP-Za-km-z]{86,88}$/;

/** Whether it may be a transaction's signature on Solana. */
export const isSignature = (text) => SIGNATURE.test(text);

/** Where a transaction on Solana stands, as a sentence. */
export function progressWords({ state, slot, confirmations }) {
  const blocks = confirmations === 1 ? '1 block' : `${confirmations} blocks`;
  const place = confirmations === null ? `in slot ${slot}` : `in slot ${slot}, ${blocks} on top`;
  switch (state) {
    case 'processed':
      return `Processed, ${place}: it can still be dropped.`;
    case 'confirmed':
      return `Confirmed, ${place}: it is all but certain.`;
    case 'finalized':
      return `Final, ${place}: it stays.`;
    case 'failed':
      return `It failed, ${place}: it paid nothing.`;
    case 'dropped':
      return 'Dropped: it was seen, and is gone. Your wallet may still send it again; else nothing was paid.';
    default:
      return 'No source has seen it yet. If that stays so for two minutes, it never will be: nothing was paid.';
  }
}

/** What was typed, as the queries it may be; none for what nothing can be found under. */
export function findMarks(text) {
  if (text === '') return [''];
  if (/^0x[0-9a-f]{64}$/i.test(text)) return [`&source=${text}`, `&release=${text}`];
  if (/^0x[0-9a-f]{40}$/i.test(text)) return [`&address=${text}`];
  if (/^[0-9a-f]{64}$/i.test(text)) return [`&source=${text}`, `&release=${text}`];
  if (/^(?:bc|tb|bcrt)1[a-z0-9]{8,87}$/.test(text)) return [`&address=${text}`];
  if (/^[1-9A-HJ-NP-Za-km-z]{64,88}$/.test(text)) return [`&source=${text}`, `&release=${text}`];
  return base58Or43(text);
}

/** An address of Solana, an id of AO's, or what may be either. */
function base58Or43(text) {
  // The last of 43 characters carries four bits: others are of no 32 bytes.
  if (/^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/.test(text)) return [`&address=${text}`, `&message=${text}`];
  return /^[1-9A-HJ-NP-Za-km-z]{32,44}$/.test(text) ? [`&address=${text}`] : [];
}
