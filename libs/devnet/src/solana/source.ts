/** How one source shows the chain: as it is, or with a fault of its own. Levers for tests, set in code and by nobody over the network. */
import type { Executed } from './ledger.js';

/** A transaction's log is cut here by validators. */
const MAX_LOG_BYTES = 10_000;

export class Source {
  /** Blocks by which it lags behind the cluster. */
  behind = 0;
  /** Bytes after which it cuts a transaction's log. */
  logBytes = MAX_LOG_BYTES;
  /** It does not answer at all. */
  down = false;
  private readonly hidden = new Map<string, number>();

  /** Answers null for a listed transaction, as often as said. */
  hide(signature: string, times = 1): void {
    this.hidden.set(signature, times);
  }

  hides(signature: string): boolean {
    const left = this.hidden.get(signature) ?? 0;
    if (left <= 0) return false;
    this.hidden.set(signature, left - 1);
    return true;
  }

  /** The transaction with its log cut as validators cut it. */
  cut(executed: Executed): Executed {
    const logs: string[] = [];
    let size = 0;
    for (const line of executed.logs) {
      size += line.length;
      if (size > this.logBytes) return { ...executed, logs: [...logs, 'Log truncated'] };
      logs.push(line);
    }
    return executed;
  }
}
