import { type FileHandle, mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode, PRIVATE_DIR, PRIVATE_FILE, replaceFile } from '../state-dir/atomic-file.js';
import {
  decodeJournal,
  decodeSnapshot,
  encodeJournalHeader,
  encodeRecord,
  encodeSnapshot,
  type StoredChange,
  type StoredSnapshot,
} from './file-codec.js';
import type { Held } from './types.js';

export type Loaded =
  | { readonly kind: 'empty' }
  | { readonly kind: 'ok'; readonly snapshot: StoredSnapshot; readonly changes: readonly StoredChange[] }
  | { readonly kind: 'corrupt'; readonly message: string };

/** Where the store keeps what it accepted. What resolved is durable; what threw left things as they were. */
export interface DesiredFiles {
  load(): Promise<Loaded>;
  /** Adds changes to those on top of the last snapshot. */
  append(changes: readonly StoredChange[]): Promise<void>;
  /** Replaces everything. */
  replace(snapshot: StoredSnapshot): Promise<void>;
  /** Whether there is a journal to add to; without one, the next write must replace everything. */
  readonly appendable: boolean;
  /** The changes have come to weigh more than the snapshot: time to replace. */
  readonly wantsCompaction: boolean;
  close(): Promise<void>;
}

/** A journal below this is not worth rewriting a snapshot for. */
const SMALL_JOURNAL = 1024 * 1024;

/** `desired.snapshot` and `desired.journal` in a directory of their own. */
export class DiskFiles implements DesiredFiles {
  private readonly snapshotPath: string;
  private readonly journalPath: string;
  private journal: FileHandle | undefined;
  private journalLength = 0;
  private snapshotLength = 0;
  /** Whether the journal continues the snapshot that is in place, and ends with a whole record. */
  private journalUsable = false;

  constructor(private readonly dir: string) {
    this.snapshotPath = join(dir, 'desired.snapshot');
    this.journalPath = join(dir, 'desired.journal');
  }

  get appendable(): boolean {
    return this.journalUsable;
  }

  get wantsCompaction(): boolean {
    return this.journalLength > Math.max(SMALL_JOURNAL, 2 * this.snapshotLength);
  }

  /** Reads both files and changes neither, so that `plan` and `status` may call it beside a running agent. */
  async load(): Promise<Loaded> {
    const loaded = await this.read();
    // Beside a running agent, one of the files may have been replaced between reading the two.
    return loaded.kind === 'corrupt' ? this.read() : loaded;
  }

  private async read(): Promise<Loaded> {
    const bytes = await readOrUndefined(this.snapshotPath);
    const journal = await readOrUndefined(this.journalPath);
    if (!bytes) return journal ? { kind: 'corrupt', message: 'there is a journal but no snapshot' } : { kind: 'empty' };
    const snapshot = decodeSnapshot(bytes);
    if (snapshot.kind !== 'ok') return snapshot;
    this.snapshotLength = bytes.length;
    if (!journal) return { kind: 'ok', snapshot: snapshot.value, changes: [] };
    const read = decodeJournal(journal, snapshot.value);
    if (read.kind === 'corrupt') return read;
    if (read.kind === 'stale') return { kind: 'ok', snapshot: snapshot.value, changes: [] };
    this.journalLength = read.value.goodLength;
    this.journalUsable = true;
    return { kind: 'ok', snapshot: snapshot.value, changes: read.value.changes };
  }

  async append(changes: readonly StoredChange[]): Promise<void> {
    if (!this.journalUsable) throw new Error('there is no journal to add to; replace the snapshot first');
    const bytes = Buffer.concat(changes.map(encodeRecord));
    this.journal ??= await this.openJournal();
    try {
      await writeAll(this.journal, bytes, this.journalLength);
      await this.journal.datasync();
    } catch (error) {
      // What was written in part must not stand before the next record: the rest of the file would be lost behind it.
      this.journalUsable = false;
      await this.journal.truncate(this.journalLength);
      this.journalUsable = true;
      throw error;
    }
    this.journalLength += bytes.length;
  }

  async replace(snapshot: StoredSnapshot): Promise<void> {
    await mkdir(this.dir, { recursive: true, mode: PRIVATE_DIR });
    const bytes = encodeSnapshot(snapshot);
    await replaceFile(this.snapshotPath, bytes);
    this.snapshotLength = bytes.length;
    // From here the old journal is stale; a crash before the next line is recognised by the header that names its snapshot.
    this.journalUsable = false;
    await this.close();
    await this.startJournal(snapshot);
  }

  async close(): Promise<void> {
    const journal = this.journal;
    this.journal = undefined;
    await journal?.close();
  }

  private async startJournal(base: Held): Promise<void> {
    const header = encodeJournalHeader(base);
    await replaceFile(this.journalPath, header);
    this.journalLength = header.length;
    this.journalUsable = true;
  }

  private async openJournal(): Promise<FileHandle> {
    const file = await open(this.journalPath, 'r+', PRIVATE_FILE);
    // A torn last record of an earlier life.
    await file.truncate(this.journalLength);
    return file;
  }
}

/** write(2) may take less than it was given, as a full disk does just before it says ENOSPC. */
async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}

async function readOrUndefined(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
