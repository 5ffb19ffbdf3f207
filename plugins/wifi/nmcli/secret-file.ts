/**
 * How a password reaches nmcli: arguments stand in /proc/PID/cmdline for every user to read, so it goes through nmcli's
 * `passwd-file`, a file in memory that has no name any more by the time nmcli starts: neither a crash nor a power cut leaves it behind.
 */
import { closeSync, constants, mkdtempSync, openSync, rmSync, statSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** What the child finds its third descriptor under. */
export const SECRET_PATH = '/proc/self/fd/3'

/** Calls `use` with an open descriptor of the file; it is closed when that has settled. */
export async function withSecret<Result>(password: string, use: (fd: number) => Promise<Result>): Promise<Result> {
  const fd = namelessFile(passwdFile(password))
  try {
    return await use(fd)
  } finally {
    closeSync(fd)
  }
}

/**
 * nmcli strips blanks at a value's ends and reads backslash escapes in it (nmc_utils_parse_passwd_file), so each byte is written
 * as an octal escape.
 */
export function passwdFile(password: string): string {
  const value = [...Buffer.from(password, 'utf8')].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('')
  return `802-11-wireless-security.psk:${value}\n`
}

function namelessFile(content: string): number {
  const dir = mkdtempSync(join(memoryDir(), 'shopwire-'))
  try {
    const fd = openSync(join(dir, 's'), constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600)
    rmSync(join(dir, 's'))
    writeSync(fd, content)
    return fd
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

function memoryDir(): string {
  try {
    return statSync('/dev/shm').isDirectory() ? '/dev/shm' : tmpdir()
  } catch {
    return tmpdir()
  }
}
