import { connect, type Socket } from 'node:net'
import type { Clock } from '../../../daemon/contract/plugin.ts'
import { LinkError, type OpenLink, type PrinterLink } from './link.ts'
import { Silence } from './silence.ts'

const CONNECT_MS = 3_000
/** How long a printer may take to close its side once it has all. */
const GOODBYE_MS = 3_000

/** `lostMs`: a printer whose network has shown no sign of life for so long, while something is on its way to it, is gone. */
export function openTcp(host: string, port: number, lostMs: number, clock: Clock): OpenLink {
  /**
   * Of a line that was given up. A printer whose cable was out still takes it for open and lets nobody else in: a connection from
   * the same port makes it find out (RFC 9293, 3.5.1, half-open connection discovery).
   */
  let lostPort: number | undefined
  const open: OpenLink = (events, signal) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(new LinkError('unreachable', 'stopping'))
      const localPort = lostPort
      const socket = connect({
        host,
        port,
        ...(localPort === undefined ? {} : { localPort }),
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: 10_000,
        allowHalfOpen: true,
      })
      let failure: Error | undefined
      let silence: Silence | undefined
      let ours = false
      const giveUp = () => socket.destroy(new LinkError('unreachable', `${host}:${port} does not answer`))
      const cancelTimer = clock.patience(CONNECT_MS, giveUp)
      signal.addEventListener('abort', giveUp, { once: true })
      const lost = () => {
        failure = new LinkError('unreachable', `${host}:${port} has acknowledged nothing for ${Math.round(lostMs / 1_000)} s`)
        lostPort = socket.localPort
        // What the kernel still holds must not come out later, after the till has printed it again.
        socket.resetAndDestroy()
      }
      socket.on('connect', () => {
        lostPort = undefined
        cancelTimer()
        signal.removeEventListener('abort', giveUp)
        silence = new Silence(socket, clock, lostMs, lost)
        silence.start()
        resolve(linkOn({ socket, clock, signal, silence, failure: () => failure, ours: () => (ours = true) }))
      })
      socket.on('data', (bytes: Buffer) => events.data(bytes))
      socket.on('drain', () => events.drained())
      // A printer that shuts down in good order ends its side: nothing more will be printed.
      socket.on('end', () => socket.destroy())
      socket.on('error', (error) => {
        failure ??= error
      })
      socket.on('close', () => {
        cancelTimer()
        silence?.stop()
        signal.removeEventListener('abort', giveUp)
        if (silence) {
          if (!ours) events.closed(failure)
        } else if (localPort !== undefined && isPortOfOthers(failure)) {
          lostPort = undefined
          resolve(open(events, signal))
        } else reject(asLinkError(failure, host, port))
      })
    })
  return open
}

/** Somebody else has the port by now, or this machine another address. */
const isPortOfOthers = (error: Error | undefined): boolean =>
  ['EADDRINUSE', 'EADDRNOTAVAIL'].includes((error as NodeJS.ErrnoException | undefined)?.code ?? '')

interface OnLine {
  socket: Socket
  clock: Clock
  signal: AbortSignal
  silence: Silence
  failure: () => Error | undefined
  ours: () => void
}

function linkOn({ socket, clock, signal, silence, failure, ours }: OnLine): PrinterLink {
  const end = (resolve: () => void, reject: (failure: Error) => void) => {
    ours()
    let cancel = () => {}
    const closed = () => {
      cancel()
      const why = failure()
      if (why === undefined) resolve()
      else if (why instanceof LinkError) reject(why)
      else if (silence.queued > 0 || socket.writableLength > 0) reject(new LinkError('unreachable', why.message))
      // All of it had been taken, by the printer's network at least; a printer that resets the line drops what it has not printed.
      else reject(why)
    }
    if (socket.closed) return closed()
    socket.once('close', closed)
    const wait = () => {
      if (!socket.destroyed) cancel = clock.timer(GOODBYE_MS, look)
    }
    const look = () => {
      silence.look().then((acks) => {
        // Out of paper, it has not taken all of it: closed now, the kernel would drop the rest after some minutes and tell nobody.
        if (acks && acks.queued > 0 && !signal.aborted) wait()
        else socket.destroy()
      }, wait)
    }
    // A reset would make printers drop what they have not printed: end, and read on until the other side ends too. A slow
    // printer with much in hand may take long to get there.
    socket.end(wait)
  }
  return {
    write: (bytes) => socket.write(bytes),
    end: () => new Promise(end),
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
