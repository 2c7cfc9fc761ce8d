/** The guardian sets a token process ever had, and the vault of each: what the keys of a slot or an epoch are. All from the process itself. */
import type { AoEngine } from '@isthmus/ao';
import { parseDecision, viewOfSpawn, type GuardianSet } from '@isthmus/bridge';
import { vaultKeys, vaultScript, type BitcoinNetwork, type VaultKeys, type VaultScript, hexOf } from '@isthmus/chains';
import type { DataSource } from 'typeorm';

export interface VaultSet {
  set: GuardianSet;
  /** The slot that made it the set: it counts for later ones. */
  slot: number;
  keys: VaultKeys;
  lock: VaultScript;
}

export class VaultSets {
  private known: readonly VaultSet[] = [];

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

  /** Looks at what was decided since. */
  async refresh(): Promise<void> {
    if (this.known.length === 0) {
      const spawn = await this.engine.spawn(this.process);
      if (!spawn) return;
      this.known = [this.made(viewOfSpawn(spawn.tags).set, -1)];
    }
    const rows: { line: string; slot: string }[] = await this.database.query(
      `select line, slot from decision where process = $1 and line like 'rotate %' order by nonce offset $2`,
      [this.process, this.known.length - 1],
    );
    for (const { line, slot } of rows) {
      const decision = parseDecision(line);
      if (decision.kind === 'rotate') this.known = [...this.known, this.made(decision, Number(slot))];
    }
  }

  private made(set: GuardianSet, slot: number): VaultSet {
    const keys = vaultKeys(
      set.keys.map((key) => Buffer.from(key, 'hex')),
      set.threshold,
    );
    return { set, slot, keys, lock: vaultScript(keys, this.network) };
  }
}
