/** A controller in another process: `shopwire sim beacon`, or any virtual controller that speaks H4 over TCP. */
import { connect, type Socket } from 'node:net'
import { H4Stream } from '../hci/h4.ts'
import { AdapterFault, type AdapterLink, type LinkEvents, type OpenLink } from './link.ts'

const CONNECT_MS = 3_000
/** A controller that takes nothing for so long is gone. */
const MOST_UNSENT = 1_048_576

export class SimulatedLink implements AdapterLink {
  readonly name: string

  constructor(name: string) {
    this.name = name
  }

  async open(on: LinkEvents): Promise<OpenLink> {
    const socket = await this.#connect()
    let up = true
    let closed = false
    const lost = (): void => {
      if (!up) return
      up = false
      socket.destroy()
      if (!closed) on.lost(new AdapterFault('unplugged', `${this.name} has closed the connection`))
    }
    const stream = new H4Stream((packet) => {
      if (!closed) on.packet(packet)
    })
    socket.on('data', (chunk) => {
      if (!stream.push(chunk)) lost()
    })
    socket.on('close', lost)
    socket.on('error', lost)
    return {
      isUp: () => up,
      setFilter: () => {},
      write: (packet) => {
        if (up) socket.write(packet)
        if (socket.writableLength > MOST_UNSENT) lost()
      },
      close: () => {
        closed = true
        lost()
      },
    }
  }

  #connect(): Promise<Socket> {
    const url = new URL(this.name)
    const where =
      url.host === '' ? { path: url.pathname } : { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port), noDelay: true }
    return new Promise((resolve, reject) => {
      const socket = connect(where)
      socket.setTimeout(CONNECT_MS, () => socket.destroy(new Error(`no answer within ${CONNECT_MS} ms`)))
      const failed = (error: Error): void => reject(new AdapterFault('no-adapter', `${this.name}: ${error.message}`))
      socket.once('error', failed)
      socket.once('connect', () => {
        socket.setTimeout(0)
        socket.off('error', failed)
        resolve(socket)
      })
    })
  }
}
