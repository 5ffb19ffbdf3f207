import { createInterface } from 'node:readline'
import { hashPassword } from '../password.ts'
import { type CliCommand, parse, UsageError } from './io.ts'

/** `shopwire password`: reads a password from standard input and prints the hash for `lan.users` or `http.passwordHash`. */
export const password: CliCommand = async (args, io) => {
  parse({ args, options: {} })
  if (process.stdin.isTTY) io.err('Type the password and press Enter:')
  for await (const line of createInterface({ input: process.stdin })) {
    if (line.length < 8) throw new UsageError('the password must have at least 8 characters')
    io.out(await hashPassword(line))
    return 0
  }
  throw new UsageError('no password came on standard input')
}
