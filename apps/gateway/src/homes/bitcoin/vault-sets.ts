/** The guardian sets a token process ever had, and the vault of each, what the keys of a slot or an epoch are, and its home's terms. All from the process itself. */
import type { AoEngine } from '@isthmus/ao';
import { bitcoinTermsOf, parseDecision, viewOfSpawn, type BitcoinTerms, type GuardianSet } from '@isthmus/bridge';
import { vaultKeys, vaultScript, type BitcoinNetwork, type VaultKeys, type VaultScript, hexOf } from '@isthmus/chains';
import type { DataSource } from 'typeorm';

export interface VaultSet {
  set: GuardianSet;
  /** The slot that made it the set: it counts for later ones. */
  slot: number;
  /** When that had its place, milliseconds; 0 for the first. */
  since: number;
  keys: VaultKeys;
  lock: VaultScript;
}

export class VaultSets {
  private known: readonly VaultSet[] = [];
  private spawned: BitcoinTerms | null = null;

  constructor(
    private readonly database: DataSource,
    private readonly engine: Pick<AoEngine, 'spawn'>,
    private readonly process: string,
    private readonly network: BitcoinNetwork,
  ) {}

  /** Oldest first; none while the process is not known here. */
  get all(): readonly VaultSet[] {
    return this.known;
  }

  /** The set whose keys hold what is paid in now; null while the process is not known here. */
  get current(): VaultSet | null {
    return this.known.at(-1) ?? null;
  }

  /** As the process was spawned; null while it is not known here. */
  get terms(): BitcoinTerms | null {
    return this.spawned;
  }

  ofEpoch(epoch: bigint): VaultSet | null {
    return this.known.find(({ set }) => set.epoch === epoch) ?? null;
  }

  /** The set of a slot. */
  ofSlot(slot: number): VaultSet | null {
    return this.known.findLast((one) => one.slot < slot) ?? null;
  }

  /** Which set's vault an output script is. */
  ofScript(script: string): VaultSet | null {
    return this.known.find(({ lock }) => hexOf(lock.script) === script) ?? null;
  }

  /** Looks at what was decided since. @throws BridgeError for a process that is none of a home on Bitcoin */
  async refresh(): Promise<void> {
    if (this.known.length === 0) {
      const spawn = await this.engine.spawn(this.process);
      if (!spawn) return;
      this.spawned = bitcoinTermsOf(spawn.tags);
      this.known = [this.made(viewOfSpawn(spawn.tags).set, -1, 0)];
    }
    const rows: { line: string; slot: string; applied_at: Date }[] = await this.database.query(
      `select line, slot, applied_at from decision where process = $1 and line like 'rotate %' order by nonce offset $2`,
      [this.process, this.known.length - 1],
    );
    for (const { line, slot, applied_at: at } of rows) {
      const decision = parseDecision(line);
      if (decision.kind === 'rotate') this.known = [...this.known, this.made(decision, Number(slot), at.getTime())];
    }
  }

  private made(set: GuardianSet, slot: number, since: number): VaultSet {
    const keys = vaultKeys(
      set.keys.map((key) => Buffer.from(key, 'hex')),
      set.threshold,
    );
    return { set, slot, since, keys, lock: vaultScript(keys, this.network) };
  }
}
