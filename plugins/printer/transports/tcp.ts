import { connect, type Socket } from 'node:net'
import type { Clock } from '../../../daemon/contract/plugin.ts'
import { type OpenPort, type Port, PortFault } from './port.ts'

const CONNECT_MS = 3_000
const GOODBYE_MS = 2_000

export const openTcp =
  (host: string, port: number, clock: Clock): OpenPort =>
  (events, signal) =>
    new Promise((resolve, reject) => {
      if (signal.aborted) return reject(new PortFault('unreachable', 'stopping'))
      const socket = connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: 10_000 })
      let opened = false
      let closing = false
      const giveUp = () => socket.destroy(new PortFault('unreachable', `${host}:${port} does not answer`))
      const cancelTimer = clock.timer(CONNECT_MS, giveUp)
      signal.addEventListener('abort', giveUp, { once: true })
      socket.once('connect', () => {
        cancelTimer()
        // From here on the line ends with `close`, which lets what was written go out.
        signal.removeEventListener('abort', giveUp)
        opened = true
        resolve(portOn(socket, clock, () => (closing = true)))
      })
      socket.on('data', (bytes) => events.data(bytes))
      // A printer that is shut down in good order ends its side; there is nothing to wait for then.
      socket.on('end', () => socket.destroy())
      let failure: Error | undefined
      socket.on('error', (error) => (failure = error))
      socket.once('close', () => {
        cancelTimer()
        signal.removeEventListener('abort', giveUp)
        if (opened && !closing) events.closed('unreachable')
        else if (!opened) reject(asFault(failure, host, port))
      })
    })

function portOn(socket: Socket, clock: Clock, closing: () => void): Port {
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
        const cancel = clock.timer(GOODBYE_MS, () => socket.destroy())
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
