/** What the gateway and the process that audits for it say to each other. */
import type { NetworkPlace } from '@isthmus/ao';
import type { AuditReport, AuditorOptions } from '@isthmus/audit';
import { sourceHash, tokenSource } from '@isthmus/store';
import type { GatewayConfig } from '../config.js';
import { placeOf } from '../network-place.js';

/** Everything the auditor is told: nothing of what the gateway itself knows of transfers. */
export interface AuditWork {
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

export function workOf(
  { ao, chain, assets }: GatewayConfig,
  audit: NonNullable<GatewayConfig['audit']>,
  gatewayUrl: string,
  scheduler: string,
): AuditWork {
  const { rpcUrls, finality, deployBlock } = chain;
  return {
    network: placeOf(ao, gatewayUrl),
    scheduler,
    processes: assets.map((a) => a.process),
    rpcUrls: rpcUrls.slice(0, chain.agreement),
    finality,
    deployBlock,
    patienceMs: audit.patienceMs,
    knownCode: [sourceHash(tokenSource()), ...audit.tokenSources],
  };
}
