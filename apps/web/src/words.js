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
