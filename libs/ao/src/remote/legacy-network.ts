/** AO's legacy units: a scheduler unit, a messenger unit, and an Arweave gateway for what they do not show. */
import type { NetworkConfig } from './config.js';
import { ShownNetwork } from './shown-network.js';

export class LegacyNetwork extends ShownNetwork {
  /** @param maxPageBytes largest page that is read */
  constructor({ schedulerUrl, messengerUrl, gatewayUrl }: NetworkConfig, maxPageBytes?: number) {
    const places = {
      schedule: (process: string, head: { nonce: number } | null) => {
        // Exclusive at AO's own units, which show the spawn only when no slot is named.
        const from = head && head.nonce > 0 ? `&from-nonce=${head.nonce - 1}` : '';
        return `${schedulerUrl}/${process}?process-id=${process}${from}&show-anchor=1`;
      },
      send: () => messengerUrl,
      spawn: (process: string) => `${schedulerUrl}/processes/${process}`,
      gateway: gatewayUrl,
    };
    super(places, maxPageBytes);
  }
}
