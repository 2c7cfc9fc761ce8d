/** Many rows into one table at the speed of the disk: PostgreSQL's COPY in its binary form. */
import type { QueryRunner } from 'typeorm';

const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
const TRAILER = Buffer.from([0xff, 0xff]);
const FIRST_BYTES = 1024 * 1024;

/** Rows as COPY takes them. Each begins with `row`, then its fields follow in the order of the columns. */
export class CopyRows {
  private bytes = Buffer.allocUnsafe(FIRST_BYTES);
  private at = SIGNATURE.copy(this.bytes);
  /** Rows so far. */
  count = 0;

  /** Bytes so far. */
  get size(): number {
    return this.at;
  }

  row(fields: number): this {
    this.room(2);
    this.at = this.bytes.writeUInt16BE(fields, this.at);
    this.count += 1;
    return this;
  }

  text(value: string): this {
    const length = Buffer.byteLength(value);
    this.room(4 + length);
    this.at = this.bytes.writeInt32BE(length, this.at);
    this.at += this.bytes.write(value, this.at);
    return this;
  }

  /** Of a bytea column, or of a text column in UTF-8. */
  raw(value: Uint8Array): this {
    this.room(4 + value.length);
    this.at = this.bytes.writeInt32BE(value.length, this.at);
    this.bytes.set(value, this.at);
    this.at += value.length;
    return this;
  }

  bigint(value: number): this {
    this.room(12);
    this.at = this.bytes.writeInt32BE(8, this.at);
    this.at = this.bytes.writeBigInt64BE(BigInt(value), this.at);
    return this;
  }

  boolean(value: boolean): this {
    this.room(5);
    this.at = this.bytes.writeInt32BE(1, this.at);
    this.at = this.bytes.writeUInt8(value ? 1 : 0, this.at);
    return this;
  }

  /** All of them, ended; nothing is to be added any more. */
  end(): Buffer {
    this.room(TRAILER.length);
    this.at += TRAILER.copy(this.bytes, this.at);
    return this.bytes.subarray(0, this.at);
  }

  private room(more: number): void {
    if (this.at + more <= this.bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(2 * this.bytes.length, this.at + more));
    this.bytes.copy(larger, 0, 0, this.at);
    this.bytes = larger;
  }
}

/** What of a `pg` connection is used. */
interface Connection {
  query(text: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}

interface Client {
  query(statement: CopyIn): unknown;
}

/** A statement as `pg` lets one write them oneself. */
class CopyIn {
  constructor(
    private readonly text: string,
    private readonly data: Buffer,
    private readonly resolve: () => void,
    private readonly reject: (error: Error) => void,
  ) {}

  submit(connection: Connection): void {
    connection.query(this.text);
  }

  handleCopyInResponse(connection: Connection): void {
    connection.sendCopyFromChunk(this.data);
    connection.endCopyFrom();
  }

  handleCommandComplete(): void {
    // said again by handleReadyForQuery
  }

  handleReadyForQuery(): void {
    this.resolve();
  }

  handleError(error: Error): void {
    this.reject(error);
  }
}

/**
 * Writes rows; all or none. @param columns of the table, in the order of the fields @throws Error of the database
 */
export async function copyInto(
  runner: QueryRunner,
  table: string,
  columns: readonly string[],
  rows: CopyRows,
): Promise<void> {
  if (rows.count === 0) return;
  const client = (await runner.connect()) as Client;
  const text = `copy ${table} (${columns.join(', ')}) from stdin (format binary)`;
  await new Promise<void>((resolve, reject) => client.query(new CopyIn(text, rows.end(), resolve, reject)));
}
