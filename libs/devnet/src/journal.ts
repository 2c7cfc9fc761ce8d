/** What happened, line by line on disk: a line is acknowledged once it is there for good, and a line the end of a run tore is as if it had never been. */
import { hash } from 'node:crypto';
import fs from 'node:fs';
import readline from 'node:readline';

const CHECK_DIGITS = 16;
const check = (text: string): string => hash('sha256', text, 'hex').slice(0, CHECK_DIGITS);

interface Waiting {
  line: string;
  resolve: () => void;
  reject: (error: unknown) => void;
}

export class Journal {
  private waiting: Waiting[] = [];
  private writing: Promise<void> | null = null;
  private broken: unknown;

  private constructor(private readonly file: fs.promises.FileHandle) {}

  /** Opens or begins a journal, giving each entry to `replay` in order. @throws Error when it is damaged before its end */
  static async open(path: string, replay: (entry: unknown) => void): Promise<Journal> {
    const good = fs.existsSync(path) ? await readAll(path, replay) : 0;
    const file = await fs.promises.open(path, 'a');
    await file.truncate(good);
    return new Journal(file);
  }

  /** Settles once the entry is on disk; entries are in the order of the calls. After one failure nothing is written any more. */
  append(entry: unknown): Promise<void> {
    const text = JSON.stringify(entry);
    return new Promise((resolve, reject) => {
      this.waiting.push({ line: `${check(text)} ${text}\n`, resolve, reject });
      this.writing ??= this.write();
    });
  }

  /** Whatever was appended is on disk, and the file closed. */
  async close(): Promise<void> {
    await this.writing;
    await this.file.close();
  }

  /** All that wait go to disk together. */
  private async write(): Promise<void> {
    while (this.waiting.length > 0) {
      const batch = this.waiting.splice(0);
      try {
        if (this.broken !== undefined) throw this.broken;
        await this.file.appendFile(batch.map((w) => w.line).join(''));
        await this.file.datasync();
        for (const { resolve } of batch) resolve();
      } catch (error) {
        this.broken = error;
        for (const { reject } of batch) reject(error);
      }
    }
    this.writing = null;
  }
}

/** Bytes up to the end of the last whole line. */
async function readAll(path: string, replay: (entry: unknown) => void): Promise<number> {
  const size = fs.statSync(path).size;
  const lines = readline.createInterface({ input: fs.createReadStream(path), crlfDelay: Infinity });
  let good = 0;
  let torn = false;
  for await (const line of lines) {
    if (torn) throw new Error(`${path} is damaged at byte ${good}: remove its folder to begin anew.`);
    const text = line.slice(CHECK_DIGITS + 1);
    const end = good + Buffer.byteLength(line) + 1;
    torn = line.slice(0, CHECK_DIGITS) !== check(text) || end > size;
    if (torn) continue;
    replay(JSON.parse(text));
    good = end;
  }
  return good;
}
