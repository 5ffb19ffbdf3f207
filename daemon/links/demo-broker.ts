import { createServer } from 'node:net'
import { Aedes } from 'aedes'
import { asFailure } from '../contract/errors.ts'

/** A plain open MQTT broker on loopback, to stand for HQ's in `shopwire demo`. */
export async function openBroker(port: number): Promise<{ close(): Promise<void> }> {
  const broker = await Aedes.createBroker()
  const server = createServer(broker.handle)
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(asFailure(error, 'port-taken')))
    server.listen(port, '127.0.0.1', resolve)
  })
  return {
    close: () =>
      new Promise((resolve) => {
        broker.close(() => server.close(() => resolve()))
      }),
  }
}
