/** The shapes that scheduler, compute, messenger and their users share. No logic, no I/O. */

/** One name/value pair of an ANS-104 item, order and repeats kept. */
export interface Tag {
  name: string;
  value: string;
}

/** A parsed ANS-104 data item. `raw` is the exact bytes; `id` = base64url(sha256(signature)). */
export interface Item {
  id: string;
  raw: Buffer;
  signatureType: 1 | 2 | 3 | 4;
  signature: Buffer;
  /** Public key as in the item: 512 bytes RSA modulus, 32 ed25519 (types 2 and 4), 65 uncompressed secp256k1. */
  owner: Buffer;
  /** Canonical AO address of the signer: EIP-55 for type 3, else base64url(sha256(owner)). */
  ownerAddress: string;
  /** base64url of 32 bytes, or '' */
  target: string;
  /** Anchor as text ('' when absent; 32 bytes otherwise). */
  anchor: string;
  tags: Tag[];
  data: Buffer;
}

export interface Signer {
  signatureType: 1 | 2 | 3 | 4;
  publicKey: Buffer;
  /** Canonical AO address of this key. */
  address: string;
  sign(message: Uint8Array): Promise<Buffer>;
}

/** A message together with its place in a process' schedule. */
export interface ScheduleEntry {
  process: string;
  /** Slot: 0 is the spawn item itself. */
  nonce: number;
  assignment: Item;
  message: Item;
}

/** A message a process sent. No `Target`: reported only, never delivered. */
export interface OutboundMessage {
  Target?: string;
  Anchor: string;
  Tags: Tag[];
  Data: string;
}

/** What evaluating one slot gave; the JSON shape AO's compute units answer. With `Error` set, nothing of the slot's effects is kept. */
export interface EvaluationResult {
  Messages: OutboundMessage[];
  Spawns: OutboundMessage[];
  Assignments: unknown[];
  Output: unknown;
  Error?: string;
  GasUsed?: number;
}

/** A message as a virtual machine gets it (AO's JSON interface). */
export interface VmMessage {
  Id: string;
  Owner: string;
  From: string;
  'Forwarded-By'?: string;
  Target: string;
  Anchor: string;
  Data: string;
  Tags: Tag[];
  Module: string;
  Epoch: number;
  Nonce: number;
  Timestamp: number;
  'Block-Height': string;
  'Hash-Chain': string;
  Cron: boolean;
  'Read-Only'?: boolean;
}

/** Environment of a process, fixed for its life. */
export interface ProcessEnv {
  Process: { Id: string; Owner: string; Tags: Tag[] };
  Module: { Id: string; Owner: string; Tags: Tag[] };
}

/** The state of a process, exactly: the linear memory of its machine. */
export interface MemoryImage {
  /** Bytes of the memory, a multiple of 65,536. */
  size: number;
  /** Pages of 65,536 bytes that are not all zero, by their number. */
  pages: Map<number, Uint8Array>;
}

/** How a memory differs from what it was. */
export interface MemoryChange {
  /** Bytes of the memory now. */
  size: number;
  /** Pages that are different, as they are now; `null`: all zero. */
  changed: [page: number, bytes: Uint8Array | null][];
}

/** One running process in some virtual machine. Calls are sequential; every method is deterministic in its arguments and earlier calls. */
export interface VmInstance {
  /** @param inHurry others wait: what takes long is given up, without effect @throws TakesLong, only in a hurry */
  handle(message: VmMessage, inHurry?: boolean): Promise<EvaluationResult>;
  /** Evaluates without keeping any effect. */
  dryRun(message: VmMessage): Promise<EvaluationResult>;
  /** The state between two messages, restorable by `Vm.load` of the same module and env. Its pages are copies. */
  snapshot(): Promise<MemoryImage>;
  /** What has changed since the process was loaded or this was last asked; everything, the first time, when it was loaded from nothing. */
  checkpoint(): Promise<MemoryChange>;
  /** Bytes of memory held for the process, about. */
  usage(): number;
  close(): Promise<void>;
  /** Undoes what a dry-run left, if anything, and prepares for the next: called when an answer is out. */
  settle?(): void;
}

/** A kind of virtual machine, chosen by the module's `Module-Format`. */
export interface Vm {
  formats: readonly string[];
  /** Whether it can give up what takes long, for it to be done where nobody waits. Else a long message holds up its like. */
  yields: boolean;
  /**
   * A process of this module, from an image of its state or, with `null`, from nothing. @param inHurry as for `handle`
   * @throws Error when it does not load; TakesLong, only in a hurry
   */
  load(
    module: Uint8Array,
    format: string,
    env: ProcessEnv,
    image: MemoryImage | null,
    inHurry?: boolean,
  ): Promise<VmInstance>;
}
