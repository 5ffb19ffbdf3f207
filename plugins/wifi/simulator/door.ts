/**
 * The executable called `nmcli` and what it talks to. It is a few lines of shell, so that a call starts in milliseconds on a Pi, too; requests
 * go through one FIFO (a line shorter than PIPE_BUF is written whole), each answer through one of its own.
 */
import { execFileSync } from 'node:child_process'
import { chmodSync, closeSync, constants, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import type { Answer } from './nmcli.ts'

export interface Request {
  /** Latin-1: one character a byte. */
  args: string[]
  /** Content of the `passwd-file`. */
  secret?: string
}

export class Door {
  readonly #dir: string
  readonly #answer: (request: Request) => Promise<Answer | undefined>
  #socket: Socket | undefined
  #text = ''

  /** `answer` may resolve with nothing: then the caller waits for ever. */
  constructor(dir: string, answer: (request: Request) => Promise<Answer | undefined>) {
    this.#dir = dir
    this.#answer = answer
  }

  open(): void {
    mkdirSync(this.#dir, { recursive: true })
    const requests = join(this.#dir, 'requests')
    rmSync(requests, { force: true })
    execFileSync('mkfifo', ['-m', '600', requests])
    // Read-write, so that it has no end when no caller is there.
    this.#socket = new Socket({ fd: openSync(requests, constants.O_RDWR | constants.O_NONBLOCK), readable: true, writable: false })
    this.#socket.on('data', (chunk) => this.#take(chunk.toString('latin1')))
    this.#socket.on('error', () => {})
    writeFileSync(join(this.#dir, 'pid'), `${process.pid}\n`)
    writeFileSync(join(this.#dir, 'nmcli'), executable(this.#dir))
    chmodSync(join(this.#dir, 'nmcli'), 0o755)
  }

  close(): void {
    rmSync(join(this.#dir, 'pid'), { force: true })
    this.#socket?.destroy()
  }

  /** Caller, secret, count, and so many arguments, each ended by a NUL. */
  #take(text: string): void {
    this.#text += text
    for (;;) {
      const parts = this.#text.split('\0')
      const [caller, secret, count] = parts
      const last = 3 + Number(count)
      if (caller === undefined || secret === undefined || count === undefined || parts.length <= last) return
      this.#text = parts.slice(last).join('\0')
      void this.#reply(caller, { args: parts.slice(3, last), ...(secret === '' ? {} : { secret }) })
    }
  }

  async #reply(caller: string, request: Request): Promise<void> {
    const done = await this.#answer(request)
    if (!done) return
    const path = join(this.#dir, `answer.${caller}`)
    try {
      const body = Buffer.from(done.code === 0 ? done.out : done.err, 'utf8')
      // Fails when the caller has gone: nobody reads there any more.
      const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
      writeSync(fd, Buffer.concat([Buffer.from(`${done.code} ${body.length}\n`), body]))
      closeSync(fd)
    } catch {
      // Nothing to tell and nobody to tell it to.
    }
    rmSync(path, { force: true })
  }
}

/** Without its NetworkManager it says what nmcli says without a D-Bus. */
function executable(dir: string): string {
  return `#!/bin/sh
d='${dir.replaceAll("'", "'\\''")}'
if ! read -r pid 2>/dev/null <"$d/pid" || ! kill -0 "$pid" 2>/dev/null; then
  echo 'Error: Could not create NMClient object: Could not connect: No such file or directory.' >&2
  exit 1
fi
secret= file=
for word; do
  [ "$file" = next ] && read -r secret <"$word"
  file=
  [ "$word" = passwd-file ] && file=next
done
a="$d/answer.$$"
mkfifo -m 600 "$a"
exec 4<>"$a"
printf '%s\\0' "$$" "$secret" "$#" "$@" >"$d/requests"
read -r code length <&4
if [ "$code" = 0 ]; then head -c "$length" <&4; else head -c "$length" <&4 >&2; fi
exit "$code"
`
}
