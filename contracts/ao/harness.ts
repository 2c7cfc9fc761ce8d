/** The token process on the lean Lua machine, for tests: one call sends one message and reads what came of it. */
import fs from 'node:fs';
import path from 'node:path';
import { LuaVm, patchesOf } from '@isthmus/ao';
import type {
  EvaluationResult,
  MemoryImage,
  OutboundMessage,
  ProcessEnv,
  Tag,
  VmInstance,
  VmMessage,
} from '@isthmus/ao';
import { eventsOf, type BridgeEvent } from '@isthmus/bridge';
import { projectRoot } from '@isthmus/store';
import { getAddress, type Hex } from 'viem';

export const PROCESS = 'P'.repeat(42) + 'A';
/** Who spawned the process, on aos also who loads its source. */
export const SPAWNER = 'S'.repeat(42) + 'A';
const MODULE = 'L'.repeat(42) + 'A';
export const AUTHORITY = 'M'.repeat(42) + 'A';
export const CHAIN = 'eip155:31337';
export const VAULT = getAddress(`0x${'5a'.repeat(20)}`);
export const TOKEN = getAddress(`0x${'70'.repeat(20)}`);
export const GUARDIANS: readonly Hex[] = ['a1', 'b2', 'c3', 'd4', 'e5'].map((b) => getAddress(`0x${b.repeat(20)}`));

/** What is no quantity. */
export const ODD_QUANTITIES = [
  '',
  '0',
  '-1',
  '+1',
  '01',
  '0x10',
  '1e3',
  '1E3',
  ' 1',
  '1 ',
  '1\n',
  '1.0',
  '1_000',
  '1,000',
  '١',
  'inf',
  'nan',
  'nil',
  '9'.repeat(40),
  (2n ** 256n).toString(),
  (2n ** 256n + 1n).toString(),
  `-${2n ** 255n}`,
];

export const SPAWN_TAGS: Readonly<Record<string, string>> = {
  'Data-Protocol': 'ao',
  Type: 'Process',
  Authority: AUTHORITY,
  Name: 'Bridged dollar',
  Ticker: 'dUSD',
  Denomination: '6',
  'Isthmus-Asset': `${CHAIN}/erc20:${TOKEN}`,
  'Isthmus-Chain': CHAIN,
  'Isthmus-Vault': VAULT,
  'Isthmus-Guardians': GUARDIANS.slice(0, 3).join(','),
  'Isthmus-Threshold': '2',
  'Isthmus-Pause-Threshold': '1',
  'Isthmus-Epoch': '1',
  'Isthmus-Min-Withdrawal': '10',
  'Isthmus-Limit': '1000000',
  'Isthmus-Limit-Window': '60000',
};

export interface Outcome {
  /** Replies and notices, in order. */
  sent: OutboundMessage[];
  events: BridgeEvent[];
  /** What changes of the public state, by path: `balances/<account>`, `totalsupply`. */
  shown: Record<string, string>;
  error: string | undefined;
}

export interface Sender {
  from: string;
  /** Who signed; the sender unless told otherwise. */
  owner?: string;
  cron?: boolean;
}

export const tag = (message: OutboundMessage | undefined, name: string): string | undefined =>
  message?.Tags.find((t) => t.name === name)?.value;

const tagArray = (tags: Readonly<Record<string, string>>): Tag[] =>
  Object.entries(tags).map(([name, value]) => ({ name, value }));

export function tokenSource(): Buffer {
  return fs.readFileSync(path.join(projectRoot(), 'contracts/ao/token.lua'));
}

export function environment(tags: Readonly<Record<string, string>> = SPAWN_TAGS): ProcessEnv {
  return {
    Process: { Id: PROCESS, Owner: SPAWNER, Tags: tagArray(tags) },
    Module: { Id: MODULE, Owner: SPAWNER, Tags: [] },
  };
}

/** The message in one slot of the token's schedule. */
export function messageTo(
  nonce: number,
  sender: Sender | string,
  tags: Readonly<Record<string, string>>,
  data = '',
): VmMessage {
  const { from, owner = from, cron = false } = typeof sender === 'string' ? { from: sender } : sender;
  return {
    Id: `message-${nonce}`,
    Owner: owner,
    From: from,
    Target: PROCESS,
    Anchor: '',
    Data: data,
    Tags: tagArray(tags),
    Module: MODULE,
    Epoch: 0,
    Nonce: nonce,
    Timestamp: 1_700_000_000_000 + nonce,
    'Block-Height': '1',
    'Hash-Chain': '',
    Cron: cron,
  };
}

/** One running token process. */
export class TokenProcess {
  private nonce = 0;

  private constructor(private readonly vm: VmInstance) {}

  /** @throws when the configuration is refused. */
  static async spawn(tags: Readonly<Record<string, string>> = SPAWN_TAGS): Promise<TokenProcess> {
    return new TokenProcess(await new LuaVm().load(tokenSource(), 'isthmus-lua-5.4', environment(tags), null));
  }

  message(sender: Sender | string, tags: Readonly<Record<string, string>>, data = ''): VmMessage {
    this.nonce += 1;
    return messageTo(this.nonce, sender, tags, data);
  }

  async send(sender: Sender | string, tags: Readonly<Record<string, string>>, data = ''): Promise<Outcome> {
    return this.take(this.message(sender, tags, data));
  }

  async take(message: VmMessage): Promise<Outcome> {
    return outcome(await this.vm.handle(message));
  }

  /** A read, kept out of the state: the JSON it answers. */
  async read(action: string, tags: Readonly<Record<string, string>> = {}): Promise<unknown> {
    const result = await this.vm.dryRun(this.message('reader', { Action: action, ...tags }));
    return JSON.parse(result.Messages[0]?.Data ?? 'null') as unknown;
  }

  async balance(account: string): Promise<bigint> {
    const result = await this.vm.dryRun(this.message(account, { Action: 'Balance' }));
    return BigInt(result.Messages[0]?.Data ?? '-1');
  }

  snapshot(): Promise<MemoryImage> {
    return this.vm.snapshot();
  }
}

function outcome(result: EvaluationResult): Outcome {
  const { changes = [] } = patchesOf(result) ?? {};
  return {
    sent: result.Messages.filter((m) => m.Target),
    events: eventsOf(result.Messages),
    shown: Object.fromEntries(
      changes.map(({ path: keys, value }) => [keys.join('/'), JSON.parse(value ?? 'null') as string]),
    ),
    error: result.Error,
  };
}
