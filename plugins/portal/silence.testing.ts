/** Connections that say nothing, and a shopper who gets in all the same: for the tests of every day, and in full for the long ones. */
import { connect, type Socket } from 'node:net'
import type { Test } from 'tap'
import { ipOf, type Shop } from './testing.ts'

/** Somebody else, who means well, taps and is online. */
export async function servesOthers(t: Test, one: Shop, phone: number): Promise<void> {
  t.equal((await one.tap(phone)).status, 200, 'everyone else is served')
}

export async function silence(t: Test, one: Shop, count: number): Promise<void> {
  const sockets: Socket[] = []
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
  })
  let opened = 0
  const open = (number: number): Promise<void> =>
    new Promise((resolve) => {
      // From 400 addresses, 25 each at most: below what one station may hold.
      const socket = connect({ host: '127.0.0.1', port: one.port, localAddress: ipOf(1_000 + (number % 400)) })
      sockets.push(socket)
      socket.on('connect', () => {
        opened += 1
        resolve()
      })
      socket.on('error', () => resolve())
    })
  while (sockets.length < count) {
    const first = sockets.length
    await Promise.all(Array.from({ length: 500 }, (_, at) => open(first + at)))
    if (sockets.length === count / 2) await servesOthers(t, one, 1)
  }
  await servesOthers(t, one, 2)
  t.equal(opened, count)
  const { connections } = (await one.harness.command('-', 'status')) as { connections: number }
  t.ok(connections <= 4_000, `${connections} are held`)
}
