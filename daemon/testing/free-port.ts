import { randomInt } from 'node:crypto'
import { createSocket, type Socket as DatagramSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:net'

/** Below 32768, where Linux begins to give ports to outgoing connections and to those who ask for any. */
const PORTS = { from: 20_000, to: 32_000 }

/**
 * A TCP port of 127.0.0.1 that nobody else gets, however long it takes until something listens on it. The UDP port of the same
 * number is kept by this process until it ends: that is what the tests of other processes look at.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(PORTS.from, PORTS.to)
    const mark = await reserved(port)
    if (!mark) continue
    const probe = createServer().listen(port, '127.0.0.1')
    const free = await once(probe, 'listening').then(
      () => true,
      () => false,
    )
    if (!free) {
      mark.close()
      continue
    }
    probe.close()
    await once(probe, 'close')
    return port
  }
}

async function reserved(port: number): Promise<DatagramSocket | undefined> {
  const mark = createSocket('udp4').unref()
  mark.bind({ port, address: '127.0.0.1', exclusive: true })
  return once(mark, 'listening').then(
    () => mark,
    () => {
      mark.close()
      return undefined
    },
  )
}
