/**
 * Audits of a gateway's own bridge, home by home, made now and then by a process beside it, out of the way of everything else. A report is kept, signed with the
 * receipt key as an item, and settled with what else is.
 */
import { fork, type ChildProcess } from 'node:child_process';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createItem, tagList, type Item, type Signer } from '@isthmus/ao';
import type { BundleRow, SettlementStore } from '@isthmus/arweave';
import { hashOf, REPORT_FORMAT, type AuditReport } from '@isthmus/audit';
import { projectRoot, type Logger } from '@isthmus/store';
import { Counter, Gauge, type Registry } from 'prom-client';
import type { AuditAnswer, AuditWork } from './audit-work.js';
import type { AuditStore, SettledUpTo } from './audit-store.js';

/** The built code: Node runs no TypeScript. */
const SCRIPT = 'dist/apps/gateway/src/audit/audit-process.js';
/** Memory the process may have, MiB: processes under audit and what is unmatched, not what was. */
const MEMORY_MIB = 1024;
/** Time one audit may take: the first one evaluates everything there ever was. */
const LONGEST_MS = 6 * 3_600_000;
/** After a failure it is tried again so soon, at most. */
const AGAIN_MS = 60_000;

export interface AuditsParts {
  everyMs: number;
  /** The process that audits, from the project's folder on; the one there is unless told. */
  script?: string;
  /** What is audited, one home after another. */
  works: readonly AuditWork[];
  store: AuditStore;
  settlement: Pick<SettlementStore, 'newestConfirmed'>;
  /** Signs reports; null: they are not signed. */
  signer: Signer | null;
  /** Takes the signed item, to be found and settled; null when this gateway settles nothing. */
  keep: ((item: Item) => Promise<void>) | null;
  log: Logger;
  registry: Registry;
}

export class Audits {
  private readonly stopping = new AbortController();
  private running: Promise<void> = Promise.resolve();
  private child: ChildProcess | null = null;
  private readonly findings: Gauge<'chain' | 'kind'>;
  private readonly made: Gauge<'chain'>;
  private readonly failures: Counter<'chain' | 'code'>;

  constructor(private readonly parts: AuditsParts) {
    const registers = [parts.registry];
    this.findings = new Gauge({
      name: 'isthmus_audit_findings',
      help: 'Findings of the newest audit of a home chain, by kind',
      labelNames: ['chain', 'kind'],
      registers,
    });
    this.made = new Gauge({
      name: 'isthmus_audit_made_timestamp_seconds',
      help: 'When the newest audit of a home chain was made',
      labelNames: ['chain'],
      registers,
    });
    this.failures = new Counter({
      name: 'isthmus_audit_failures_total',
      help: 'Audits that could not be made, by reason',
      labelNames: ['chain', 'code'],
      registers,
    });
  }

  start(): void {
    this.running = this.run();
  }

  async stop(): Promise<void> {
    this.stopping.abort();
    this.end();
    await this.running;
  }

  private async run(): Promise<void> {
    const { signal } = this.stopping;
    while (!signal.aborted) {
      let areMade = true;
      for (const work of this.parts.works) areMade = (await this.once(work)) && areMade;
      const wait = areMade ? this.parts.everyMs : Math.min(this.parts.everyMs, AGAIN_MS);
      await delay(wait, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Whether there is a report, made here or by another gateway on this database. */
  private async once(work: AuditWork): Promise<boolean> {
    const { store, everyMs, log } = this.parts;
    try {
      const last = await store.newest(work.chain);
      if (last && Date.now() - last.madeAt.getTime() < everyMs / 2) return true;
      const answer = await this.ask(work);
      if (!('report' in answer)) throw Object.assign(new Error(answer.message), { code: answer.code });
      await this.take(answer.report);
      return true;
    } catch (error) {
      if (this.stopping.signal.aborted) return false;
      const { code = 'failed', message } = error as { code?: string; message?: string };
      this.failures.inc({ chain: work.chain, code });
      log.warn({ chain: work.chain, code, detail: message }, 'no audit could be made; it is tried again');
      return false;
    }
  }

  private async take(report: AuditReport): Promise<void> {
    const { store, settlement, signer, keep, log } = this.parts;
    const [madeAt, hash] = [new Date(), hashOf(report)];
    const arweave = upTo(await settlement.newestConfirmed());
    const item = signer && keep ? await reportItem({ report, hash, madeAt, arweave }, signer) : null;
    if (item) await keep?.(item);
    await store.add({ hash, report, madeAt, arweave, item: item?.id ?? null });
    const of = (kind: string): number => report.findings.filter((f) => f.kind === kind).length;
    const { chain } = report.inputs;
    for (const kind of ['safety', 'liveness']) this.findings.set({ chain, kind }, of(kind));
    this.made.set({ chain }, madeAt.getTime() / 1000);
    if (report.result === 'safety')
      log.error(
        { chain, hash, findings: report.findings.slice(0, 20) },
        'the audit has safety findings: look at /v1/audit',
      );
  }

  /** @throws Error when the process ends, or takes too long */
  private ask(work: AuditWork): Promise<AuditAnswer> {
    // Told to stop while the store was asked: a process begun now nobody would end.
    if (this.stopping.signal.aborted) return Promise.reject(new Error('It is stopping.'));
    const child = (this.child ??= this.begin());
    return new Promise<AuditAnswer>((resolve, reject) => {
      const late = setTimeout(() => this.end(), LONGEST_MS);
      const done = (): void => {
        clearTimeout(late);
        child.off('message', answered).off('exit', ended);
      };
      const answered = (said: AuditAnswer): void => {
        done();
        resolve(said);
      };
      const ended = (): void => {
        done();
        if (this.child === child) this.child = null;
        reject(new Error('The process that audits has ended.'));
      };
      child.on('message', answered).on('exit', ended);
      child.send(work, (error) => {
        if (error) this.end();
      });
    });
  }

  private begin(): ChildProcess {
    const child = fork(path.join(projectRoot(), this.parts.script ?? SCRIPT), [], {
      execArgv: [`--max-old-space-size=${MEMORY_MIB}`],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    child.on('error', () => this.end());
    return child;
  }

  private end(): void {
    this.child?.kill('SIGKILL');
    this.child = null;
  }
}

interface Made {
  report: AuditReport;
  hash: string;
  madeAt: Date;
  arweave: SettledUpTo | null;
}

/** A report as it is settled (docs/protocol.md, section 8). */
export function reportItem({ report, hash, madeAt, arweave }: Made, signer: Signer): Promise<Item> {
  const { chain, height, blockHash } = report.inputs;
  const tags = {
    'App-Name': 'Isthmus',
    Variant: REPORT_FORMAT,
    Type: 'Audit-Report',
    'Content-Type': 'application/json',
    'SHA-256': hash,
    Result: report.result,
    Chain: chain,
    Height: height,
    'Block-Hash': blockHash,
  };
  const data = JSON.stringify({ report, made: { at: madeAt.toISOString(), arweave } });
  return createItem({ tags: tagList(tags), data }, signer);
}

/** One that is confirmed has a carrier. */
function upTo(bundle: BundleRow | null): SettledUpTo | null {
  if (!bundle || bundle.carrier === null) return null;
  return { sequence: bundle.sequence, seal: bundle.seal, tx: bundle.carrier };
}
