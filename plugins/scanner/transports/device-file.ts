/**
 * Reading a device node (tty, input device): woken by the poller, read without a thread waiting in `read`, and gone when the
 * node says so or when its path no longer leads to it. The path is looked at because drivers do not always say
 * (node-serialport#2024, #1243), and because a replugged adapter may come back under the same name while the old one is still open.
 */
import { readSync, type Stats, watch } from 'node:fs'
import { stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import type { Clock } from '../../../daemon/contract/plugin.ts'
import { asPortFault, type OpenPort, PortFault, type PortSink } from './transport.ts'

/** What serialport's Linux binding offers: its poller works for any pollable descriptor. */
export interface PolledFile {
  readonly fd: number | null
  readonly poller: { once(event: 'readable', done: (error: Error | null) => void): unknown }
  write(bytes: Buffer): Promise<void>
  close(): Promise<void>
}

/** A tty hands over at most 4 KiB a read (N_TTY_BUF_SIZE); four of them keep an input device's burst together. */
const READ_BYTES = 16_384
/** Directory changes tell at once; looking again is for what they miss, and more often where they cannot be watched. */
const LOOK_WATCHED_MS = 5_000
const LOOK_UNWATCHED_MS = 1_000
/** How long a line that has begun may take to end when the port is to be closed. */
const FINISH_MS = 250
const FINISH_STEP_MS = 10

export class DeviceFile implements OpenPort {
  readonly #file: PolledFile
  readonly #path: string
  readonly #identity: string
  readonly #sink: PortSink
  readonly #clock: Clock
  readonly #buffer = Buffer.allocUnsafe(READ_BYTES)
  #paused = false
  #armed = false
  #closed = false
  #stopLooking: () => void = () => {}

  constructor(file: PolledFile, path: string, stats: Stats, sink: PortSink, clock: Clock) {
    this.#file = file
    this.#path = path
    this.#identity = identity(stats)
    this.#sink = sink
    this.#clock = clock
  }

  start(): void {
    this.#look()
    this.#arm()
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.#arm()
  }

  async write(bytes: Buffer): Promise<void> {
    if (this.#closed) throw new PortFault('unplugged', 'the port is closed')
    await this.#file.write(bytes).catch((error: unknown) => {
      throw asPortFault(error)
    })
  }

  async finish(unfinished: () => boolean): Promise<void> {
    this.#paused = true
    const end = this.#clock.mono() + FINISH_MS
    while (!this.#closed) {
      while (this.#readOnce()) {}
      if (this.#closed || !unfinished() || this.#clock.mono() >= end) break
      await this.#clock.sleep(FINISH_STEP_MS)
    }
    await this.#close()
  }

  #arm(): void {
    if (this.#armed || this.#paused || this.#closed) return
    this.#armed = true
    this.#file.poller.once('readable', (error) => {
      this.#armed = false
      if (this.#closed || this.#paused) return
      // The poller's error is a hang-up (POLLERR, POLLHUP); what was buffered before it is still to be had.
      while (this.#readOnce() && error) {}
      if (error) this.#lose(new PortFault('unplugged', error.message))
      this.#arm()
    })
  }

  /** True when there may be more. */
  #readOnce(): boolean {
    const { fd } = this.#file
    if (this.#closed || fd === null) return false
    let length: number
    try {
      length = readSync(fd, this.#buffer, 0, READ_BYTES, null)
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code !== 'EAGAIN' && code !== 'EINTR') this.#lose(asPortFault(error))
      return false
    }
    // A hung-up tty reads as its end; serialport's own reader would ask again for ever.
    if (length === 0) {
      this.#lose(new PortFault('unplugged', 'end of file'))
      return false
    }
    this.#sink.data(this.#buffer.subarray(0, length))
    return true
  }

  #look(): void {
    let checking = false
    const check = (): void => {
      if (checking || this.#closed) return
      checking = true
      stat(this.#path).then(
        (now) => {
          checking = false
          if (identity(now) !== this.#identity) this.#lose(new PortFault('unplugged', 'the path leads to another device now'))
        },
        (error: unknown) => {
          checking = false
          this.#lose(asPortFault(error))
        },
      )
    }
    let watcher: ReturnType<typeof watch> | undefined
    try {
      const name = basename(this.#path)
      watcher = watch(dirname(this.#path), { persistent: false }, (_event, changed) => {
        if (changed === null || changed === name) check()
      })
      watcher.on('error', check)
    } catch {
      watcher = undefined
    }
    const period = watcher ? LOOK_WATCHED_MS : LOOK_UNWATCHED_MS
    let cancel = (): void => {}
    const again = (): void => {
      cancel = this.#clock.timer(period, () => {
        check()
        again()
      })
    }
    again()
    this.#stopLooking = () => {
      cancel()
      watcher?.close()
    }
  }

  #lose(fault: PortFault): void {
    if (this.#closed) return
    void this.#close()
    this.#sink.lost(fault)
  }

  async #close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#stopLooking()
    // A descriptor whose device has gone may refuse to close: it is as closed as it gets.
    await this.#file.close().catch(() => {})
  }
}

function identity(stats: Stats): string {
  return `${stats.dev}:${stats.ino}:${stats.rdev}`
}
