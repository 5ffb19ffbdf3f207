/**
 * The executable called `nmcli` and what it talks to. It is a few lines of shell that start no other program, so that a call costs next to
 * nothing on a Pi, too. Requests go through one FIFO (a line shorter than PIPE_BUF is written whole), each answer through one of its own,
 * which lies ready: a caller takes the next that nobody else has taken.
 */
import { execFileSync } from 'node:child_process'
import { chmodSync, closeSync, constants, mkdirSync, openSync, readdirSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import type { Answer } from './nmcli.ts'

/** Answers' FIFOs made at once; fewer than half of them left, and there are more. */
const BATCH = 64
/** So many taken ones a caller may have to pass by: that is cheaper than to say at each call where the free ones begin. */
const PASSED = 8

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
  /** Answers' FIFOs so far; the last one taken; where callers begin to look. */
  #made = 0
  #taken = 0
  #pointed = 0

  /** `answer` may resolve with nothing: then the caller waits for ever. */
  constructor(dir: string, answer: (request: Request) => Promise<Answer | undefined>) {
    this.#dir = dir
    this.#answer = answer
  }

  open(): void {
    mkdirSync(this.#dir, { recursive: true })
    const requests = join(this.#dir, 'requests')
    this.#sweep()
    execFileSync('mkfifo', ['-m', '600', requests, ...this.#batch()])
    this.#point()
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
    this.#sweep()
  }

  #batch(): string[] {
    const from = this.#made
    this.#made += BATCH
    return Array.from({ length: BATCH }, (_one, index) => join(this.#dir, `answer.${from + index + 1}`))
  }

  /** Where callers begin to look for a free one. */
  #point(): void {
    this.#pointed = this.#taken
    writeFileSync(join(this.#dir, 'next.new'), `${this.#taken + 1}\n`)
    renameSync(join(this.#dir, 'next.new'), join(this.#dir, 'next'))
  }

  #took(number: number): void {
    if (!(number > this.#taken)) return
    const before = this.#taken
    this.#taken = number
    if (this.#made - number < BATCH / 2) execFileSync('mkfifo', ['-m', '600', ...this.#batch()])
    if (number >= this.#pointed + PASSED) this.#point()
    // Whoever comes late to one of these finds no FIFO there, and goes on.
    for (let old = Math.max(1, before - BATCH); old < number - BATCH; old++) rmSync(join(this.#dir, `taken.${old}`), { force: true })
  }

  /** What an earlier run has left. */
  #sweep(): void {
    for (const name of readdirSync(this.#dir))
      if (/^(requests|next|(answer|taken)\.\d+)$/.test(name)) rmSync(join(this.#dir, name), { force: true })
  }

  /** The number of its answer, secret, count, and so many arguments, each ended by a NUL. */
  #take(text: string): void {
    this.#text += text
    for (;;) {
      const parts = this.#text.split('\0')
      const [number, secret, count] = parts
      const last = 3 + Number(count)
      if (number === undefined || secret === undefined || count === undefined || parts.length <= last) return
      this.#text = parts.slice(last).join('\0')
      this.#took(Number(number))
      void this.#reply(number, { args: parts.slice(3, last), ...(secret === '' ? {} : { secret }) })
    }
  }

  async #reply(number: string, request: Request): Promise<void> {
    const done = await this.#answer(request)
    const path = join(this.#dir, `answer.${number}`)
    try {
      if (!done) return
      // Fails when the caller has gone: nobody reads there any more.
      const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
      const lines = (done.code === 0 ? done.out : done.err).split('\n')
      if (lines.at(-1) === '') lines.pop()
      writeSync(fd, [`${done.code} ${lines.length}`, ...lines, ''].join('\n'))
      closeSync(fd)
    } catch {
      // Nothing to tell and nobody to tell it to.
    } finally {
      // The caller has it open.
      rmSync(path, { force: true })
    }
  }
}

/** Without its NetworkManager it says what nmcli says without a D-Bus. Builtins of the shell only: no process but its own. */
function executable(dir: string): string {
  return `#!/bin/sh
d='${dir.replaceAll("'", "'\\''")}'
if ! read -r pid 2>/dev/null <"$d/pid" || ! kill -0 "$pid" 2>/dev/null; then
  echo 'Error: Could not create NMClient object: Could not connect: No such file or directory.' >&2
  exit 1
fi
secret= file= tries=0
for word; do
  [ "$file" = next ] && read -r secret <"$word"
  file=
  [ "$word" = passwd-file ] && file=next
done
# Creating a file that is not there yet (-C) is the one thing that only one of several callers can do.
set -C
read -r n <"$d/next"
until [ -p "$d/answer.$n" ] && printf '' 2>/dev/null >"$d/taken.$n"; do
  n=$((n + 1))
  tries=$((tries + 1))
  if [ "$tries" = 1000 ]; then
    echo 'Error: NetworkManager is not running.' >&2
    exit 8
  fi
done
set +C
exec 4<>"$d/answer.$n"
printf '%s\\0' "$n" "$secret" "$#" "$@" >"$d/requests"
read -r code lines <&4
[ "$code" = 0 ] || exec >&2
while [ "$lines" -gt 0 ]; do
  IFS= read -r line <&4
  printf '%s\\n' "$line"
  lines=$((lines - 1))
done
exit "$code"
`
}
