/** For tests of the auditor: a token process in a schedule of the test's own, which may run any code and say anything, whatever its home chain. */
import { createHash } from 'node:crypto';
import {
  assign,
  createItem,
  ed25519Signer,
  ethereumSigner,
  tagList,
  type AoNetwork,
  type Item,
  type ScheduleHead,
  type ShownEntry,
  type WorkerPool,
} from '@isthmus/ao';
import { devAccount, devKey } from '@isthmus/devnet';
import { tokenSource } from '@isthmus/store';
import { keccak256, stringToHex, type Hex } from 'viem';
import { privateKeyToAccount } from 'viem/accounts';
import { SpareThreads } from '../ao/spare-threads.js';
import { Auditor, type AuditorOptions } from './src/index.js';
import { depositIdOf } from './src/domain/forms.js';

export const SCHEDULER = ed25519Signer(Buffer.alloc(32, 1));
export const ALICE = devAccount(5).address;
const ALICE_KEY = devKey(5);
const DEPLOYER = ethereumSigner(devKey(0));
const guardianKey = (index: number): Hex => keccak256(stringToHex(`guardian ${index}`));

export const TOKEN = tokenSource().toString();
export const TOKEN_CODE = createHash('sha256').update(TOKEN).digest('hex');

/** Schedules in memory, shown as they are. */
class Schedules implements AoNetwork {
  readonly items = new Map<string, Item>();
  readonly entries = new Map<string, ShownEntry[]>();

  schedule(process: string, head: ScheduleHead | null, limit: number): Promise<ShownEntry[]> {
    const from = head?.nonce ?? 0;
    return Promise.resolve((this.entries.get(process) ?? []).slice(from, from + limit));
  }
  item(id: string): Promise<Item | null> {
    return Promise.resolve(this.items.get(id) ?? null);
  }
  send(): Promise<void> {
    return Promise.reject(new Error('not here'));
  }
}

/** Of the auditors of all scenes of a file, which stops them when it is done. */
export const threads = new SpareThreads();

/** A deposit as guardians say it, but for its id. */
export interface SaidLine {
  reference: string;
  tx: string;
  sender: string;
  recipient: string;
  amount: bigint;
  tags?: string;
}

export const guardianAddresses = [0, 1, 2].map((i) => privateKeyToAccount(guardianKey(i)).address);

/** A token process, and what is said to it. */
export abstract class TokenScene {
  readonly network = new Schedules();
  process = '';
  private head: ScheduleHead | null = null;
  private sent = 0;
  /** Milliseconds at which messages get their places. */
  now = 0;
  private readonly auditors: Auditor[] = [];
  private readonly taken: WorkerPool[] = [];

  protected abstract chainOptions(): AuditorOptions['chain'];

  /** @param home the tags that say which asset it is, where @param code of the token */
  protected async spawn(home: Record<string, string>, code = TOKEN): Promise<void> {
    const module = await createItem(
      { tags: tagList({ 'Data-Protocol': 'ao', Type: 'Module', 'Module-Format': 'isthmus-lua-5.4' }), data: code },
      DEPLOYER,
    );
    const tags = tagList({
      'Data-Protocol': 'ao',
      Variant: 'ao.TN.1',
      Type: 'Process',
      Module: module.id,
      Scheduler: SCHEDULER.address,
      Authority: SCHEDULER.address,
      'Isthmus-Guardians': guardianAddresses.join(','),
      'Isthmus-Threshold': '2',
      'Isthmus-Pause-Threshold': '1',
      'Isthmus-Epoch': '1',
      'Isthmus-Min-Withdrawal': '10',
      'Isthmus-Limit': String(10n ** 24n),
      'Isthmus-Limit-Window': '3600000',
      ...home,
    });
    const spawn = await createItem({ tags, data: '' }, DEPLOYER);
    this.process = spawn.id;
    this.network.items.set(module.id, module);
    await this.place(spawn);
  }

  async place(message: Item): Promise<void> {
    const now = { timestamp: this.now, blockHeight: 1 };
    const { item, head } = await assign(this.process, message.id, this.head, now, SCHEDULER);
    this.head = head;
    const entries = this.network.entries.get(this.process) ?? [];
    this.network.entries.set(this.process, [...entries, { assignment: item, message }]);
  }

  async message(key: Hex, tags: Record<string, string>, data = ''): Promise<void> {
    this.sent += 1;
    const anchor = String(this.sent).padStart(32, '0');
    const all = tagList({ 'Data-Protocol': 'ao', Variant: 'ao.TN.1', Type: 'Message', ...tags });
    await this.place(await createItem({ target: this.process, anchor, tags: all, data }, ethereumSigner(key)));
  }

  /** One guardian says it. */
  say(guardian: number, tags: Record<string, string>, data: string): Promise<void> {
    return this.message(guardianKey(guardian), tags, data);
  }

  /** Two of three guardians say the same. */
  async agree(tags: Record<string, string>, data: string): Promise<void> {
    for (const guardian of [0, 1]) await this.say(guardian, tags, data);
  }

  /** Has it minted by what the guardians say. */
  mintLine({ reference, tx, sender, recipient, amount, tags = '-' }: SaidLine, id?: Hex): Promise<void> {
    const line = [id ?? depositIdOf(reference), reference, tx, sender, recipient, amount, tags].join(' ');
    return this.agree({ Action: 'Attest-Deposits' }, line);
  }

  withdrawTo(recipient: string, amount: bigint, maxFee: bigint): Promise<void> {
    const tags = { Action: 'Withdraw', Quantity: String(amount), 'Max-Fee': String(maxFee), Recipient: recipient };
    return this.message(ALICE_KEY, tags);
  }

  /** The guardians say that a withdrawal was paid. */
  attest(number: bigint, tx: string, fee = 0n, outcome = 'paid'): Promise<void> {
    return this.agree({ Action: 'Attest-Release' }, [number, tx, fee, outcome].join(' '));
  }

  transfer(amount: bigint, recipient: string): Promise<void> {
    return this.message(ALICE_KEY, { Action: 'Transfer', Quantity: String(amount), Recipient: recipient });
  }

  async auditor(options: Partial<AuditorOptions> = {}): Promise<Auditor> {
    const workers = threads.take();
    this.taken.push(workers);
    const auditor = await Auditor.open({
      chain: this.chainOptions(),
      processes: [this.process],
      network: this.network,
      patienceMs: 3_600_000,
      workers,
      ...options,
    });
    this.auditors.push(auditor);
    return auditor;
  }

  async close(): Promise<void> {
    for (const auditor of this.auditors) await auditor.close();
    for (const workers of this.taken) await threads.give(workers);
  }
}
