import { connect, type Socket } from 'node:net'
import type { Clock } from '../../../daemon/contract/plugin.ts'
import { type OpenPort, type Port, PortFault } from './port.ts'
import { UNANSWERED_LEAST } from './silence.machine.ts'
import { Silence } from './silence.ts'

const CONNECT_MS = 3_000
const GOODBYE_MS = 2_000

/** `lostMs`: a printer whose network has shown no sign of life for so long, while something is on its way to it, is gone. */
export function openTcp(host: string, port: number, lostMs: number, clock: Clock): OpenPort {
  /**
   * Of a line that was given up. A printer whose cable was out still takes it for open and lets nobody else in: a connection from
   * the same port makes it find out (RFC 9293, 3.5.1, half-open connection discovery).
   */
  let lostPort: number | undefined
  const open: OpenPort = (events, signal) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(new PortFault('unreachable', 'stopping'))
      const localPort = lostPort
      const own = localPort === undefined ? {} : { localPort }
      const socket = connect({ host, port, ...own, noDelay: true, keepAlive: true, keepAliveInitialDelay: 10_000 })
      let silence: Silence | undefined
      let closing = false
      const giveUp = () => socket.destroy(new PortFault('unreachable', `${host}:${port} does not answer`))
      const cancelTimer = clock.patience(CONNECT_MS, giveUp)
      signal.addEventListener('abort', giveUp, { once: true })
      const lost = () => {
        lostPort = socket.localPort
        // What the kernel still holds must not come out later: the job is told as uncertain, and may have been printed again.
        socket.resetAndDestroy()
      }
      socket.once('connect', () => {
        lostPort = undefined
        cancelTimer()
        // From here on the line ends with `close`, which lets what was written go out.
        signal.removeEventListener('abort', giveUp)
        silence = new Silence(socket, clock, lostMs, lost)
        silence.start()
        resolve(portOn({ socket, clock, silence, lost, closing: () => (closing = true) }))
      })
      socket.on('data', (bytes) => events.data(bytes))
      // A printer that is shut down in good order ends its side; there is nothing to wait for then.
      socket.on('end', () => socket.destroy())
      let failure: Error | undefined
      socket.on('error', (error) => (failure = error))
      socket.once('close', () => {
        cancelTimer()
        signal.removeEventListener('abort', giveUp)
        silence?.stop()
        if (silence) {
          if (!closing) events.closed('unreachable')
        } else if (localPort !== undefined && isPortOfOthers(failure)) {
          lostPort = undefined
          resolve(open(events, signal))
        } else reject(asFault(failure, host, port))
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
  silence: Silence
  lost: () => void
  closing: () => void
}

function portOn({ socket, clock, silence, lost, closing }: OnLine): Port {
  const leave = () => {
    silence.look().then(
      // Nothing comes back to what was sent again: it must not come out later, either.
      (acks) => (acks && acks.queued > 0 && acks.unanswered >= UNANSWERED_LEAST ? lost() : socket.destroy()),
      () => socket.destroy(),
    )
  }
  const gone = () => new PortFault('unreachable', 'the connection is closed')
  return {
    chunk: 8192,
    write: (bytes) =>
      new Promise((resolve, reject) => {
        if (socket.destroyed) return reject(gone())
        const onClose = () => reject(gone())
        socket.once('close', onClose)
        socket.write(bytes, (error) => {
          socket.off('close', onClose)
          if (error) reject(error)
          else resolve()
        })
      }),
    close: () =>
      new Promise((resolve) => {
        closing()
        if (socket.destroyed) return resolve()
        const cancel = clock.patience(GOODBYE_MS, leave)
        socket.once('close', () => {
          cancel()
          resolve()
        })
        // Closing with unread answers would reset the connection, and a reset makes printers drop what they have not printed:
        // end, and go on reading until the other side ends too.
        socket.end()
      }),
  }
}

function asFault(error: Error | undefined, host: string, port: number): PortFault {
  if (error instanceof PortFault) return error
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  // Refused: somebody is there, but its one connection is taken.
  const fault = code === 'ECONNREFUSED' || code === 'ECONNRESET' ? 'busy' : 'unreachable'
  return new PortFault(fault, `${host}:${port}: ${error?.message ?? 'closed'}`, error)
}
