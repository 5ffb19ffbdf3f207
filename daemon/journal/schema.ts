/** What the journal file holds. Few indexes: each costs a page written per commit. */
import { randomUUID } from 'node:crypto'
import { type Connection, SqlError } from './connection.ts'
import { ROW_HASH, ROW_ORIGIN, ROW_TEXT } from './row.ts'

/** `shpw`, in the file's header: tells a journal from any other SQLite file. */
export const APPLICATION_ID = 0x73687077
export const SCHEMA_VERSION = 1
/** `->>` and STRICT came with 3.38; the rest is the age at which nobody should still be. */
export const SQLITE_MINIMUM = [3, 45, 0] as const

/** The journal's own keys; no plugin's space has this name. */
export const SPACE = 'journal'
/** Positions of the readers. */
export const CURSORS = 'journal.cursor'
/** How far readers' tables have got. Worth nothing without the tables, which are not carried into another file. */
export const TABLES = 'journal.tables'

/**
 * - event: the log, see row.ts.
 * - origin: plugin, device, event and kind once, instead of in each row.
 * - gap: rows that retention took; the hash of the last of them keeps the chain verifiable.
 * - kv: plugins' and the core's keys, the readers' positions, the journal's own notes. Values are JSON text.
 */
const LAYOUT = `
CREATE TABLE event (seq INTEGER PRIMARY KEY, row TEXT NOT NULL) STRICT;
CREATE TABLE origin (id INTEGER PRIMARY KEY, plugin TEXT NOT NULL, device TEXT NOT NULL, event TEXT NOT NULL, bulk INTEGER NOT NULL) STRICT;
CREATE TABLE gap (first INTEGER PRIMARY KEY, last INTEGER NOT NULL, hash TEXT NOT NULL) STRICT;
CREATE TABLE kv (space TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (space, key)) STRICT, WITHOUT ROWID;
CREATE VIEW journal AS SELECT seq, plugin, device, event, bulk, ${ROW_TEXT} AS text, ${ROW_HASH} AS hash
  FROM event JOIN origin ON id = ${ROW_ORIGIN};
`

/** 64 MiB: more than a commit may carry. Its square is below 2^53. */
export const PLACE_LENGTH = 2 ** 26

export const SQL = {
  begin: 'BEGIN IMMEDIATE',
  commit: 'COMMIT',
  rollback: 'ROLLBACK',
  /**
   * ?1: where each row lies in ?3, `[offset * PLACE_LENGTH + bytes, …]`; ?2: sequence of the first; ?3: the rows, end to
   * end, as bytes. Rows inside the JSON would be quoted here and unquoted there: that took half as much CPU again.
   */
  addEvents: `INSERT INTO event SELECT ?2 + key, CAST(substr(?3, value / ${PLACE_LENGTH}, value % ${PLACE_LENGTH}) AS TEXT) FROM json_each(?1)`,
  /** ?1: `[[id, plugin, device, event, bulk], …]` */
  addOrigins: 'INSERT OR IGNORE INTO origin SELECT value->>0, value->>1, value->>2, value->>3, value->>4 FROM json_each(?1)',
  /** ?1: `[[space, key, value], …]` */
  putKeys: 'INSERT OR REPLACE INTO kv SELECT value->>0, value->>1, value->>2 FROM json_each(?1)',
  /** ?1: `[[space, key], …]` */
  deleteKeys: 'DELETE FROM kv WHERE (space, key) IN (SELECT value->>0, value->>1 FROM json_each(?1))',
  /** ?1: `[[first, last, hash], …]` */
  addGaps: 'INSERT INTO gap SELECT value->>0, value->>1, value->>2 FROM json_each(?1)',
  getKey: 'SELECT value FROM kv WHERE space = ?1 AND key = ?2',
  listKeys: 'SELECT key, value FROM kv WHERE space = ?1 AND key >= ?2 AND key < ?3 ORDER BY key',
  listSpace: 'SELECT key, value FROM kv WHERE space = ?1 ORDER BY key',
  /** One row with one JSON text: a fifth of the cost of as many rows through N-API. */
  readEvents: `SELECT json_group_array(json_array(seq, row)) AS rows FROM
    (SELECT seq, row FROM event WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3)`,
  readChain: 'SELECT seq, row FROM event WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3',
  rowFrom: `SELECT seq, ${ROW_HASH} AS hash FROM event WHERE seq >= ?1 ORDER BY seq LIMIT 1`,
  gapsAfter: 'SELECT first, last, hash FROM gap WHERE last > ?1 ORDER BY first',
} as const

/** Makes an empty file a journal, in one transaction: a file has all of it or nothing. */
export async function createSchema(connection: Connection, epoch: string = randomUUID()): Promise<void> {
  // Only an empty file takes this one; pages that retention frees can then be given back.
  await connection.exec('PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;')
  await connection.exec(`BEGIN IMMEDIATE; ${LAYOUT}
    INSERT INTO kv VALUES ('${SPACE}', 'epoch', '${JSON.stringify(epoch)}');
    PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT;`)
}

/** How careful the file is written. Anything but `SAFE` is for tests that must be able to fail. */
export interface Tuning {
  synchronous: 'FULL' | 'NORMAL' | 'OFF'
  /** Pages in the WAL at which they are written back. */
  checkpointPages: number
  /** True believes in `psow`, see `Connection.open`. */
  powerSafeOverwrite: boolean
}

/**
 * A checkpoint at 512 pages (2 MB) writes a leaf page once for the dozen single commits that filled it; a longer WAL would
 * save little more, and would need as large a ballast.
 */
export const SAFE: Tuning = { synchronous: 'FULL', checkpointPages: 512, powerSafeOverwrite: false }

/**
 * Nobody else at the file: that saves the `-shm` and the lock calls of each transaction. `journal_size_limit` gives
 * back what a burst made of the WAL.
 */
export async function tune(connection: Connection, tuning: Tuning): Promise<void> {
  await connection.exec(`
    PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = ${tuning.synchronous};
    PRAGMA wal_autocheckpoint = ${tuning.checkpointPages};
    PRAGMA journal_size_limit = 4194304;
    PRAGMA cache_size = -1024;
    PRAGMA temp_store = MEMORY;`)
  const mode = await connection.value('PRAGMA journal_mode')
  if (mode !== 'wal') throw new SqlError('SQLITE_CANTOPEN', `the journal stays in mode ${String(mode)} where WAL was asked for`)
}
