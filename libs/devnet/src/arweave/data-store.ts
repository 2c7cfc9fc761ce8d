/** Data on disk, one file for each data root and size, its chunks at their own places. Which of them are there is the journal's to say: what it does not name is not read, and is cleared when the folder is opened. */
import fs from 'node:fs';
import path from 'node:path';

export class DataStore {
  private constructor(private readonly folder: string) {}

  /** Opens the folder and clears files nothing refers to: of data that was dropped, or that a killed run had just begun. */
  static async open(folder: string, known: (name: string) => boolean): Promise<DataStore> {
    await fs.promises.mkdir(folder, { recursive: true });
    for (const name of await fs.promises.readdir(folder))
      if (!known(name)) await fs.promises.rm(path.join(folder, name), { force: true });
    return new DataStore(folder);
  }

  /** Settles once the bytes are on disk. */
  async write(name: string, at: number, bytes: Uint8Array): Promise<void> {
    const { O_CREAT, O_RDWR } = fs.constants;
    const file = await fs.promises.open(path.join(this.folder, name), O_CREAT | O_RDWR, 0o600);
    try {
      for (let done = 0; done < bytes.length;)
        done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
      await file.datasync();
    } finally {
      await file.close();
    }
  }

  /** @throws Error when the file does not have them all */
  async read(name: string, at: number, length: number): Promise<Buffer> {
    const file = await fs.promises.open(path.join(this.folder, name), 'r');
    try {
      const bytes = Buffer.alloc(length);
      for (let done = 0; done < length;) {
        const { bytesRead } = await file.read(bytes, done, length - done, at + done);
        if (bytesRead === 0) throw new Error(`${name} ends before byte ${at + length}.`);
        done += bytesRead;
      }
      return bytes;
    } finally {
      await file.close();
    }
  }
}
