/** What the gateway and the process that audits for it say to each other. */
import type { NetworkPlace } from '@isthmus/ao';
import type { AuditReport, AuditorOptions } from '@isthmus/audit';
import { sourceHash, tokenSource } from '@isthmus/store';
import type { GatewayConfig } from '../config.js';
import { placeOf } from '../network-place.js';

/** Everything the auditor of one home is told: nothing of what the gateway itself knows of transfers. */
export interface AuditWork {
  /** CAIP-2 */
  chain: string;
  network: NetworkPlace;
  scheduler: string;
  processes: readonly string[];
  reading: {
    rpcUrls: readonly string[];
    finality: AuditorOptions['chain']['finality'];
    /** Nothing before it is read. */
    startHeight: number;
  };
  patienceMs: number;
  knownCode: readonly string[];
}

export type AuditAnswer = { report: AuditReport } | { code: string; message: string };

/** Of what a home of any family is configured with, what its auditor is told. */
interface AuditedHome {
  chain: {
    id: string;
    rpcUrls: readonly string[];
    agreement: number;
    finality?: AuditorOptions['chain']['finality'];
    deployBlock?: number;
  };
  assets: readonly { process: string }[];
}

/** What there is to audit, home by home. */
export function worksOf(
  { ao, homes }: Pick<GatewayConfig, 'ao'> & { homes: readonly AuditedHome[] },
  audit: NonNullable<GatewayConfig['audit']>,
  gatewayUrl: string,
  scheduler: string,
): AuditWork[] {
  return homes.map(({ chain, assets }) => ({
    chain: chain.id,
    network: placeOf(ao, gatewayUrl),
    scheduler,
    processes: assets.map((a) => a.process),
    reading: readingOf(chain),
    patienceMs: audit.patienceMs,
    knownCode: [sourceHash(tokenSource()), ...audit.tokenSources],
  }));
}

function readingOf({ rpcUrls, agreement, finality, deployBlock = 0 }: AuditedHome['chain']): AuditWork['reading'] {
  return { rpcUrls: rpcUrls.slice(0, agreement), finality, startHeight: deployBlock };
}
