/**
 * The process that audits for a gateway: asked for a report of a home it makes one, going on from its last. It runs at low priority, with a memory of its
 * own and a bound on it, so that nothing it does slows the bridge.
 */
import os from 'node:os';
import { networkAt } from '@isthmus/ao';
import { AuditError, Auditor } from '@isthmus/audit';
import type { AuditAnswer, AuditWork } from './audit-work.js';

/** Least of all that runs here. */
const PRIORITY = 19;

/** By the home's chain. */
const auditors = new Map<string, Auditor>();

async function answer(work: AuditWork): Promise<AuditAnswer> {
  let auditor = auditors.get(work.chain);
  try {
    auditor ??= await Auditor.open({
      chain: { ...work.reading, startHeight: BigInt(work.reading.startHeight) },
      processes: work.processes,
      network: networkAt(work.network),
      scheduler: work.scheduler,
      patienceMs: work.patienceMs,
      knownCode: work.knownCode,
    });
    auditors.set(work.chain, auditor);
    return { report: await auditor.audit() };
  } catch (error) {
    await auditor?.close();
    auditors.delete(work.chain); // the next one begins anew
    const code = error instanceof AuditError ? error.code : 'failed';
    return { code, message: error instanceof Error ? error.message : String(error) };
  }
}

os.setPriority(PRIORITY);
process.on('message', (work: AuditWork) => {
  void answer(work).then((said) => process.send?.(said));
});
// A gateway that is gone needs no audits, however it went.
process.on('disconnect', () => process.exit(0));
