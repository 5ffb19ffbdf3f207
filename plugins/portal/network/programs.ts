/** The system's network programs. None of what they are given comes from guests unchecked, and nothing goes through a shell. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

export interface Finished {
  /** 255 when it could not be run or was ended. */
  code: number
  stdout: string
  stderr: string
}

/** The system folders last: a user without rights often has no sbin in its PATH, and nft and tc live there. */
const FOLDERS = [...(process.env.PATH ?? '').split(':').filter(Boolean), '/usr/local/sbin', '/usr/sbin', '/sbin', '/usr/bin', '/bin']

export const ENVIRONMENT: NodeJS.ProcessEnv = { PATH: FOLDERS.join(':'), LC_ALL: 'C' }

export const isInstalled = (program: string): boolean => FOLDERS.some((folder) => existsSync(join(folder, program)))

/** Runs a program to its end. Never rejects: what went wrong is in `code` and `stderr`. */
export function run(command: string, args: readonly string[], input = '', timeoutMs = 10_000): Promise<Finished> {
  return new Promise((resolve) => {
    const child = execFile(command, [...args], { env: ENVIRONMENT, timeout: timeoutMs, maxBuffer: 64 << 20 }, (error, stdout, stderr) => {
      const code = error ? (typeof error.code === 'number' ? error.code : 255) : 0
      resolve({ code, stdout, stderr: error && stderr === '' ? error.message : stderr })
    })
    // One that ends before it has read everything says why by itself.
    child.stdin?.on('error', () => {})
    child.stdin?.end(input)
  })
}

/** What a program says, fit for a log line: short, and without hardware addresses, which dnsmasq's warnings and nft's complaints name. */
export const loggable = (line: string): string => line.slice(0, 200).replace(/(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}/gi, '[station]')

/** The first line of what it complained of. */
export const complaint = ({ code, stderr }: Finished): string => loggable(stderr.trim().split('\n')[0] ?? '') || `exit ${code}`
