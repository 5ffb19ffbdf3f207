import { connect, type Socket } from 'node:net'
import type { Clock } from '../../../daemon/contract/plugin.ts'
import { LinkError, type OpenLink, type PrinterLink } from './link.ts'

const CONNECT_MS = 3_000
/** How long a printer may take to close its side once all has been handed to the network. */
const GOODBYE_MS = 3_000

export const openTcp =
  (host: string, port: number, clock: Clock): OpenLink =>
  (events, signal) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(new LinkError('unreachable', 'stopping'))
      const socket = connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: 10_000, allowHalfOpen: true })
      let failure: Error | undefined
      let opened = false
      let ours = false
      const giveUp = () => socket.destroy(new LinkError('unreachable', `${host}:${port} does not answer`))
      const cancelTimer = clock.timer(CONNECT_MS, giveUp)
      signal.addEventListener('abort', giveUp, { once: true })
      socket.on('connect', () => {
        opened = true
        cancelTimer()
        signal.removeEventListener('abort', giveUp)
        resolve(linkOn(socket, clock, () => (ours = true)))
      })
      socket.on('data', (bytes: Buffer) => events.data(bytes))
      socket.on('drain', () => events.drained())
      // A printer that shuts down in good order ends its side: nothing more will be printed.
      socket.on('end', () => socket.destroy())
      socket.on('error', (error) => (failure = error))
      socket.on('close', () => {
        cancelTimer()
        signal.removeEventListener('abort', giveUp)
        if (!opened) reject(asLinkError(failure, host, port))
        else if (!ours) events.closed(failure)
      })
    })

function linkOn(socket: Socket, clock: Clock, ours: () => void): PrinterLink {
  return {
    write: (bytes) => socket.write(bytes),
    end: () =>
      new Promise((resolve) => {
        ours()
        if (socket.destroyed) return resolve()
        let cancel = () => {}
        socket.once('close', () => {
          cancel()
          resolve()
        })
        // A reset would make printers drop what they have not printed: end, and read on until the other side ends too. A slow
        // printer with much in hand may take long to get there.
        socket.end(() => {
          if (!socket.destroyed) cancel = clock.timer(GOODBYE_MS, () => socket.destroy())
        })
      }),
    destroy: () => {
      ours()
      socket.destroy()
    },
  }
}

function asLinkError(error: Error | undefined, host: string, port: number): LinkError {
  if (error instanceof LinkError) return error
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  const why = code === 'ECONNREFUSED' || code === 'ECONNRESET' ? 'busy' : 'unreachable'
  return new LinkError(why, `${host}:${port}: ${error?.message ?? 'closed'}`)
}
