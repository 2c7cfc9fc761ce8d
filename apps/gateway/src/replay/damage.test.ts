/** I11: what is wrong with what was settled is named, with where it breaks, on a local Arweave that lies and loses, and by a scheduler that does. */
import {
  arweaveSigner,
  assign,
  createItem,
  ed25519Signer,
  tagOf,
  type Item,
  type ScheduleEntry,
  type ScheduleHead,
  type Signer,
} from '@isthmus/ao';
import {
  ArweaveClient,
  assetNoticeTags,
  BaseLayerPoster,
  createCheckpoint,
  createSeal,
  digestOf,
  encodeSettledBundle,
  SettlementFinding,
  type Finding,
  type SealedRange,
} from '@isthmus/arweave';
import { ReplayStage, tokenTags } from '../../replay-stage.js';
import type { RebuildOptions } from './rebuild.js';

const COUNTER = 'local n = 0 function handle(msg) n = n + 1 ao.send({ Target = msg.From, Data = tostring(n) }) end';
let stage: ReplayStage;
let poster: BaseLayerPoster;
let module: Item;
let schedulers = 0;

beforeAll(async () => {
  stage = await ReplayStage.open();
  poster = new BaseLayerPoster(new ArweaveClient(stage.arweave.url), arweaveSigner(stage.jwk));
  module = await stage.module(COUNTER);
});
afterAll(() => stage.close());
afterEach(() => stage.arweave.faults.heal());

/** A scheduler that seals whatever it is told to. */
class Liar {
  readonly signer: Signer = ed25519Signer(Buffer.alloc(32, (schedulers += 1)));
  private previous: string | null = null;
  private sequence = 0;
  process = '';
  entries: ScheduleEntry[] = [];

  constructor(
    readonly runs: Item = module,
    private readonly spawn: Readonly<Record<string, string>> = {},
  ) {}

  private head: ScheduleHead | null = null;

  /** Places a message, a new one unless told: the spawn first. */
  async place(again?: Item): Promise<ScheduleEntry> {
    const own = { 'Data-Protocol': 'ao', Type: 'Message' };
    const message: Item =
      again ??
      (this.head
        ? await stage.message(this.process, own)
        : await stage.item({ ...this.spawn, 'Data-Protocol': 'ao', Type: 'Process', Module: this.runs.id }, 0));
    this.process ||= message.id;
    const moment = { timestamp: 1000 + this.entries.length, blockHeight: 0 };
    const { item, head } = await assign(this.process, message.id, this.head, moment, this.signer);
    this.head = head;
    const entry = { process: this.process, nonce: head.nonce, assignment: item, message };
    this.entries.push(entry);
    return entry;
  }

  /** Seals and posts slots; says the transaction. */
  async settle(from: number, to: number, results: string | null, others: readonly Item[] = []): Promise<string> {
    const slots = this.entries.slice(from, to + 1);
    const last = slots.at(-1) as ScheduleEntry;
    const items = [...others, ...slots.flatMap((e) => [e.assignment, e.message])];
    const range: SealedRange = {
      process: this.process,
      from,
      to,
      assignment: last.assignment.id,
      hashChain: tagOf(last.assignment, 'Hash-Chain'),
      results,
    };
    this.sequence += 1;
    const content = { sequence: this.sequence, previous: this.previous, others: others.length };
    const seal = await createSeal({ ...content, digest: digestOf(items), ranges: [range] }, this.signer);
    this.previous = seal.item.id;
    return this.post(encodeSettledBundle(seal.item, items), seal.item.id);
  }

  async post(bundle: Buffer, seal: string): Promise<string> {
    const label = { scheduler: this.signer.address, sequence: this.sequence, seal };
    const carrier = await poster.sign(bundle, label);
    await poster.send(carrier, bundle, 0, () => Promise.resolve());
    await stage.arweave.mine();
    return carrier.id;
  }
}

async function replayed(liar: Liar, more: Partial<RebuildOptions> = {}) {
  return stage.rebuild({ scheduler: liar.signer.address, database: await stage.database(), ...more });
}

async function found(liar: Liar, more: Partial<RebuildOptions> = {}): Promise<Partial<Finding>> {
  return replayed(liar, more).then(
    () => ({ message: 'nothing' }),
    (error: unknown) => {
      if (error instanceof SettlementFinding) return error.finding;
      throw error;
    },
  );
}

/** Null results: what is tested is found before, or without them. */
async function silent(): Promise<{ liar: Liar; txs: string[] }> {
  const liar = new Liar();
  for (let i = 0; i < 5; i += 1) await liar.place();
  return { liar, txs: [await liar.settle(0, 2, null, [module]), await liar.settle(3, 4, null)] };
}

describe('I11 A13 an Arweave that lies or loses', () => {
  it('a bundle posted twice counts once', async () => {
    const { liar, txs } = await silent();
    const bytes = Buffer.from(await (await fetch(`${stage.arweave.url}/raw/${txs[1]}`)).arrayBuffer());
    const { seal } = (await replayed(liar)).state;
    await stage.arweave.mine();
    const twice = await liar.post(bytes, seal);
    expect(twice).not.toBe(txs[1]);
    expect(await replayed(liar)).toMatchObject({ bundles: 2, slots: 5, state: { seal } });
  });

  it('missing-bundle: its data is gone; other-bytes: those of another bundle, or of none', async () => {
    const { liar, txs } = await silent();
    const [first, second] = txs as [string, string];
    const bytes = Buffer.from(await (await fetch(`${stage.arweave.url}/raw/${first}`)).arrayBuffer());
    for (const other of [bytes, Buffer.from('nothing of the kind')]) {
      stage.arweave.faults.answerWith(second, other);
      expect(await found(liar)).toMatchObject({ kind: 'other-bytes', bundle: 2, tx: second });
      stage.arweave.faults.heal();
    }
    // Of the last one nobody could tell that it ever was more than tags: one behind it shows that.
    await liar.place();
    await liar.settle(5, 5, null);
    await stage.arweave.drop(second);
    expect(await found(liar)).toMatchObject({ kind: 'missing-bundle', bundle: 2, tx: second });
  });

  it('forged: one bit of a message is another', async () => {
    const { liar, txs } = await silent();
    const [first] = txs as [string];
    const bytes = Buffer.from(await (await fetch(`${stage.arweave.url}/raw/${first}`)).arrayBuffer());
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
    stage.arweave.faults.answerWith(first, bytes);
    expect(await found(liar)).toMatchObject({
      kind: 'forged',
      bundle: 1,
      tx: first,
      process: liar.process,
      slot: 2,
      item: liar.entries[2]?.message.id,
    });
  });

  it('a gateway that is away for a moment is asked again, one that stays away is no finding', async () => {
    const { liar } = await silent();
    stage.arweave.faults.fail({ count: 2 });
    expect(await replayed(liar)).toMatchObject({ slots: 5 });
    stage.arweave.faults.fail({});
    await expect(replayed(liar)).rejects.toMatchObject({ name: 'SourceError', code: 'unreachable' });
  });
});

describe('I11 A12 a scheduler that lies', () => {
  it('results-differ: the seal commits to other results than evaluating gives', async () => {
    const { liar } = await silent();
    await liar.place();
    await liar.place();
    const tx = await liar.settle(5, 6, 'A'.repeat(43));
    expect(await found(liar)).toMatchObject({ kind: 'results-differ', bundle: 3, tx, process: liar.process, slot: 5 });
    expect((await found(liar)).message).toMatch(/slots 5 to 6/);
  });

  it('A6 doubled: a message with two places', async () => {
    const { liar } = await silent();
    await liar.place();
    await liar.place(liar.entries[1]?.message);
    const tx = await liar.settle(5, 6, null);
    const item = liar.entries[1]?.message.id;
    expect(await found(liar)).toMatchObject({ kind: 'doubled', bundle: 3, tx, process: liar.process, slot: 6, item });
  });

  it('doubled: an item of no schedule, in another bundle or in the same', async () => {
    const { liar } = await silent();
    await liar.place();
    const tx = await liar.settle(5, 5, null, [module]);
    expect(await found(liar)).toMatchObject({
      kind: 'doubled',
      bundle: 3,
      tx,
      item: module.id,
      message: expect.stringContaining('which bundle 1 has already') as string,
    });
    const another = new Liar();
    await another.place();
    const twice = await another.settle(0, 0, null, [module, module]);
    expect(await found(another)).toMatchObject({ kind: 'doubled', bundle: 1, tx: twice, item: module.id });
  });

  it('books-short: a token that says other totals than its events add up to', async () => {
    const said = `function handle(msg) ao.send({ Target = msg.From, Data = '{"minted":"5","burned":"0","released":"0"}' }) end`;
    const liar = new Liar(await stage.module(said), tokenTags());
    await liar.place();
    const notice = { asset: 'eip155:1/slip44:60', process: liar.process };
    const noticed = await createItem({ tags: assetNoticeTags(notice), data: '' }, liar.signer);
    await liar.settle(0, 0, null, [liar.runs, noticed]);
    expect(await found(liar)).toMatchObject({
      kind: 'books-short',
      process: liar.process,
      slot: 0,
      message: expect.stringContaining('has minted 5, burned 0 and released 0; its events add up to 0, 0, 0') as string,
    });
  });

  it('missing-module: a spawn whose module was never settled', async () => {
    const liar = new Liar();
    await liar.place();
    const tx = await liar.settle(0, 0, null);
    expect(await found(liar)).toMatchObject({
      kind: 'missing-module',
      bundle: 1,
      tx,
      process: liar.process,
      item: module.id,
    });
  });

  it('checkpoint-differs: of another history', async () => {
    const { liar } = await silent();
    await liar.place();
    const label = {
      process: liar.process,
      module: module.id,
      nonce: 2,
      hashChain: 'B'.repeat(43),
      results: 'A'.repeat(43),
    };
    const image = { size: 65_536, pages: new Map([[0, Buffer.alloc(65_536, 1)]]) };
    await liar.settle(5, 5, null, [await createCheckpoint(label, image, liar.signer)]);
    expect(await found(liar, { checkpoint: true })).toMatchObject({
      kind: 'checkpoint-differs',
      bundle: 3,
      process: liar.process,
      slot: 2,
    });
    expect(await replayed(liar)).toMatchObject({ slots: 6 }); // evaluated from its beginning nobody asks for it
  });

  it('checkpoint-differs: of other results than the seal of its slot', async () => {
    const liar = new Liar();
    for (let i = 0; i < 4; i += 1) await liar.place();
    await liar.settle(0, 2, 'C'.repeat(42) + 'A', [module]);
    const hashChain = tagOf((liar.entries[2] as ScheduleEntry).assignment, 'Hash-Chain');
    const label = { process: liar.process, module: module.id, nonce: 2, hashChain, results: 'D'.repeat(42) + 'A' };
    const image = { size: 65_536, pages: new Map([[0, Buffer.alloc(65_536, 1)]]) };
    await liar.settle(3, 3, null, [await createCheckpoint(label, image, liar.signer)]);
    expect(await found(liar, { checkpoint: true })).toMatchObject({
      kind: 'checkpoint-differs',
      bundle: 1,
      process: liar.process,
      slot: 2,
    });
  });

  it('what somebody else says is a checkpoint is none', async () => {
    const { liar } = await silent();
    await liar.place();
    const label = {
      process: liar.process,
      module: module.id,
      nonce: 2,
      hashChain: 'B'.repeat(43),
      results: 'A'.repeat(43),
    };
    const stranger = ed25519Signer(Buffer.alloc(32, 99));
    await liar.settle(5, 5, null, [await createCheckpoint(label, { size: 0, pages: new Map() }, stranger)]);
    expect(await replayed(liar, { checkpoint: true })).toMatchObject({ slots: 6, evaluated: 6 });
  });
});

it('nothing settled is said so', async () => {
  await expect(replayed(new Liar())).rejects.toMatchObject({ code: 'nothing-settled' });
});
