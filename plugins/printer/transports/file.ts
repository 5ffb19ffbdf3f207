/**
 * `/dev/usb/lp0` and the like: opened without blocking, so that a printer that is off or out of paper never holds a thread of the
 * process. The kernel's usblp driver answers EAGAIN while the printer takes or has nothing, and ENODEV once it is unplugged.
 */
import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { Clock } from '../../../daemon/contract/plugin.ts'
import type { LineFault } from '../jobs/print-state.ts'
import { type OpenPort, PortFault } from './port.ts'

const READ_SOON_MS = 5
const READ_LATER_MS = 250
/** After a write an answer is likely: look often for this long. */
const EAGER_MS = 3_000
const WRITE_AGAIN_MS = 10

export const openFile =
  (path: string, clock: Omit<Clock, 'patience'>): OpenPort =>
  async (events) => {
    const file = await openDevice(path)
    let closed = false
    let eagerUntil = 0
    let wake = () => {}

    const fail = (error: unknown): PortFault => {
      const fault = asFault(error, path)
      if (!closed) {
        closed = true
        file.close().catch(() => {})
        events.closed(fault.fault)
      }
      return fault
    }
    const pause = (ms: number) =>
      new Promise<void>((resolve) => {
        const cancel = clock.timer(ms, resolve)
        wake = () => {
          cancel()
          resolve()
        }
      })
    const readAll = async (): Promise<void> => {
      const buffer = Buffer.alloc(256)
      while (!closed) {
        let taken = 0
        try {
          taken = (await file.read(buffer, 0, buffer.length, null)).bytesRead
        } catch (error) {
          if (closed) return
          if (!isAgain(error)) {
            fail(error)
            return
          }
        }
        if (closed) return
        if (taken > 0) events.data(Buffer.from(buffer.subarray(0, taken)))
        else await pause(clock.mono() < eagerUntil ? READ_SOON_MS : READ_LATER_MS)
      }
    }
    readAll().catch(fail)

    return {
      chunk: 4096,
      async write(bytes) {
        for (let at = 0; at < bytes.length; ) {
          if (closed) throw new PortFault('unplugged', `${path} is closed`)
          eagerUntil = clock.mono() + EAGER_MS
          wake()
          try {
            at += (await file.write(bytes, at)).bytesWritten
          } catch (error) {
            if (!isAgain(error)) throw fail(error)
            await clock.sleep(WRITE_AGAIN_MS)
          }
        }
      },
      async close() {
        if (closed) return
        closed = true
        wake()
        await file.close()
      },
    }
  }

async function openDevice(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOCTTY)
  } catch (error) {
    throw asFault(error, path)
  }
}

const isAgain = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'EAGAIN'

function asFault(error: unknown, path: string): PortFault {
  const { code, message } = error as NodeJS.ErrnoException
  const fault: LineFault = code === 'EBUSY' ? 'busy' : 'unplugged'
  return new PortFault(fault, `${path}: ${message}`, error)
}
