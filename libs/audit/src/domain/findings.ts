/** What an audit can find. A safety finding says that money is or may be gone; a liveness finding that something takes longer than it should. */

const KINDS = {
  /** The vault has less than what AO and depositors are owed. */
  undercollateralised: 'safety',
  /** The vault has less than it counts. */
  'balance-below-count': 'safety',
  /** The vault counts other than its own deposits and releases come to. */
  'vault-count-differs': 'safety',
  'mint-without-deposit': 'safety',
  /** Of another recipient, amount, sender, asset … than the deposit. */
  'mint-differs': 'safety',
  /** For money that names nobody to credit, or too little of it. */
  'mint-of-refused': 'safety',
  /** The depositor took the money back, and it was minted too. */
  'mint-refunded': 'safety',
  'double-mint': 'safety',
  'double-burn': 'safety',
  'release-without-burn': 'safety',
  'release-differs': 'safety',
  'double-release': 'safety',
  /** Money left the vault in a way that pays no withdrawal. */
  'unknown-spend': 'safety',
  /** The process holds for paid what the chain did not pay. */
  'attested-without-release': 'safety',
  'attested-differs': 'safety',
  'double-attestation': 'safety',
  /** What the process says of itself is not what its events come to, or not what its holders have. */
  'supply-differs': 'safety',
  /** The process runs other code than is known for a token. */
  'unknown-code': 'safety',
  'deposit-not-minted': 'liveness',
  'withdrawal-not-released': 'liveness',
  'release-not-attested': 'liveness',
  paused: 'liveness',
} as const satisfies Record<string, 'safety' | 'liveness'>;

export type FindingCode = keyof typeof KINDS;
export type FindingKind = (typeof KINDS)[FindingCode];

export interface Finding {
  code: FindingCode;
  kind: FindingKind;
  /** CAIP-19 */
  asset: string;
  /** The deposit's reference, the withdrawal as `process/number`, or what else it is about. */
  subject: string;
  detail: string;
}

export function finding(code: FindingCode, asset: string, subject: string, detail: string): Finding {
  return { code, kind: KINDS[code], asset, subject, detail };
}

/** Safety first; the same findings are in the same order whoever makes the audit. */
export function inOrder(findings: readonly Finding[]): Finding[] {
  const key = (f: Finding): string => [f.kind === 'safety' ? 0 : 1, f.code, f.asset, f.subject, f.detail].join('\n');
  const keyed = findings.map((f) => ({ f, at: key(f) }));
  return keyed.toSorted((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0)).map(({ f }) => f);
}
