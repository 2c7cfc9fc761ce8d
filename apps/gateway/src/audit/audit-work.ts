/** What the gateway and the process that audits for it say to each other. */
import type { NetworkPlace } from '@isthmus/ao';
import type { AuditReport, AuditorOptions } from '@isthmus/audit';
import { sourceHash, tokenSource } from '@isthmus/store';
import type { GatewayConfig } from '../config.js';
import { isEthereum } from '../homes/config.js';
import { placeOf } from '../network-place.js';

/** Everything the auditor of one home is told: nothing of what the gateway itself knows of transfers. */
export interface AuditWork {
  /** CAIP-2 */
  chain: string;
  network: NetworkPlace;
  scheduler: string;
  processes: readonly string[];
  rpcUrls: readonly string[];
  finality: AuditorOptions['chain']['finality'];
  deployBlock: number;
  patienceMs: number;
  knownCode: readonly string[];
}

export type AuditAnswer = { report: AuditReport } | { code: string; message: string };

/** What there is to audit, home by home. The auditor knows the vaults of Ethereum only: a home of another family is told here once it knows that. */
export function worksOf(
  { ao, homes }: Pick<GatewayConfig, 'ao' | 'homes'>,
  audit: NonNullable<GatewayConfig['audit']>,
  gatewayUrl: string,
  scheduler: string,
): AuditWork[] {
  return homes.filter(isEthereum).map(({ chain: { id, rpcUrls, agreement, finality, deployBlock }, assets }) => ({
    chain: id,
    network: placeOf(ao, gatewayUrl),
    scheduler,
    processes: assets.map((a) => a.process),
    rpcUrls: rpcUrls.slice(0, agreement),
    finality,
    deployBlock,
    patienceMs: audit.patienceMs,
    knownCode: [sourceHash(tokenSource()), ...audit.tokenSources],
  }));
}
