/**
 * `/dev/usb/lp0` and the like, opened without blocking: a printer that is off or out of paper must never hold a thread of the
 * process. The kernel's usblp driver answers EAGAIN while the printer takes or has nothing, and ENODEV once it is unplugged.
 */
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { Clock } from '../../../daemon/contract/plugin.ts'
import { LinkError, type LinkEvents, type OpenLink, type PrinterLink } from './link.ts'

const READ_SOON_MS = 5
const READ_LATER_MS = 250
/** After a write an answer is likely: look often for this long. */
const EAGER_MS = 3_000
const WRITE_AGAIN_MS = 10
const FULL_BYTES = 16_384
const GOODBYE_MS = 3_000

export const openFile =
  (path: string, clock: Clock): OpenLink =>
  async (events) => {
    let file: FileHandle
    try {
      file = await open(path, constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOCTTY)
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException
      throw new LinkError(code === 'EBUSY' ? 'busy' : 'unplugged', `${path}: ${message}`)
    }
    const link = new FileLink(file, clock, events)
    link.start()
    return link
  }

class FileLink implements PrinterLink {
  readonly #file: FileHandle
  readonly #clock: Clock
  readonly #events: LinkEvents
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #full = false
  #writing: Promise<void> | undefined
  #closed = false
  #eagerUntil = 0

  constructor(file: FileHandle, clock: Clock, events: LinkEvents) {
    this.#file = file
    this.#clock = clock
    this.#events = events
  }

  start(): void {
    this.#readAll().catch((error: Error) => this.#lost(error))
  }

  write(bytes: Buffer): boolean {
    this.#waiting.push(bytes)
    this.#waitingBytes += bytes.length
    this.#eagerUntil = this.#clock.mono() + EAGER_MS
    this.#writing ??= this.#writeAll().catch((error: Error) => this.#lost(error))
    this.#full = this.#waitingBytes >= FULL_BYTES
    return !this.#full
  }

  async end(): Promise<void> {
    const cancel = this.#clock.timer(GOODBYE_MS, () => this.destroy())
    await this.#writing
    cancel()
    this.destroy()
  }

  destroy(): void {
    if (this.#closed) return
    this.#closed = true
    this.#file.close().catch(() => {})
  }

  #lost(error: Error): void {
    if (this.#closed) return
    this.destroy()
    this.#events.closed(error)
  }

  async #writeAll(): Promise<void> {
    for (let next = this.#waiting.shift(); next; next = this.#waiting.shift()) {
      for (let at = 0; at < next.length && !this.#closed; ) {
        try {
          at += (await this.#file.write(next, at)).bytesWritten
        } catch (error) {
          if (!isAgain(error)) throw error
          await this.#clock.sleep(WRITE_AGAIN_MS)
        }
      }
      this.#waitingBytes -= next.length
      if (this.#full && this.#waitingBytes < FULL_BYTES / 2) {
        this.#full = false
        this.#events.drained()
      }
    }
    this.#writing = undefined
  }

  async #readAll(): Promise<void> {
    const buffer = Buffer.alloc(256)
    while (!this.#closed) {
      let taken = 0
      try {
        taken = (await this.#file.read(buffer, 0, buffer.length, null)).bytesRead
      } catch (error) {
        if (this.#closed) return
        if (!isAgain(error)) throw error
      }
      if (this.#closed) return
      if (taken > 0) this.#events.data(Buffer.from(buffer.subarray(0, taken)))
      else await this.#clock.sleep(this.#clock.mono() < this.#eagerUntil ? READ_SOON_MS : READ_LATER_MS)
    }
  }
}

const isAgain = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'EAGAIN'
