/** The chain's RPC sources an auditor asks: every one of them, and all must say the same, or nothing is concluded. */
import { createPublicClient, http, type PublicClient } from 'viem';
import { AuditError } from '../domain/error.js';

const TIMEOUT_MS = 20_000;

export class Sources {
  private readonly clients: readonly PublicClient[];

  /** @param urls at least one; they may hold keys and are never shown */
  constructor(urls: readonly string[]) {
    if (urls.length === 0) throw new AuditError('bad-request', 'Name at least one RPC source of the chain.');
    this.clients = urls.map((url) =>
      createPublicClient({ transport: http(url, { timeout: TIMEOUT_MS }), cacheTime: 0 }),
    );
  }

  /** What all sources answer alike. @throws AuditError `sources-differ`, `unreachable` */
  async same<T>(what: string, ask: (client: PublicClient) => Promise<T>): Promise<T> {
    const answers = await this.each(what, ask);
    const [first] = answers;
    const texts = new Set(
      answers.map((a) => JSON.stringify(a, (_, v: unknown) => (typeof v === 'bigint' ? `${v}n` : v))),
    );
    if (texts.size > 1) throw new AuditError('sources-differ', `The chain’s sources do not agree on ${what}.`);
    return first as T;
  }

  /** What each answers. @throws AuditError `unreachable` */
  async each<T>(what: string, ask: (client: PublicClient) => Promise<T>): Promise<T[]> {
    return Promise.all(
      this.clients.map((client, i) =>
        ask(client).catch((error: unknown) => {
          if (error instanceof AuditError) throw error;
          // A source's own words may hold its address, and that a key.
          const why = error instanceof Error ? error.name : 'it fails';
          throw new AuditError('unreachable', `Source ${i + 1} of the chain does not say ${what} (${why}).`);
        }),
      ),
    );
  }
}
