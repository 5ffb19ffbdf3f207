/**
 * The UDP side of mDNS as one socket-like thing for `multicast-dns`, which by itself speaks on the default route's
 * interface only and throws where the port or the network is missing. One socket hears the group on every interface;
 * one for each interface sends, from port 5353 as RFC 6762 5.2 asks of full responders.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { EventEmitter } from 'node:events'
import { networkInterfaces } from 'node:os'
import type { MdnsOptions } from './api.ts'

const GROUP = '224.0.0.251'
export const MDNS_PORT = 5353

/** IPv4 addresses to speak on: all that are not loopback, or the one that is asked for. */
export function mdnsAddresses(options: MdnsOptions): string[] {
  if (options.interface !== undefined) return [options.interface]
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter((one) => one.family === 'IPv4' && !one.internal)
    .map((one) => one.address)
    .sort()
}

export class MulticastSocket extends EventEmitter {
  readonly #receiver: Socket
  readonly #senders: readonly Socket[]

  private constructor(receiver: Socket, senders: readonly Socket[]) {
    super()
    this.#receiver = receiver
    this.#senders = senders
  }

  /** Rejects with the system's error when the port cannot be had or no address can join the group. */
  static async open(addresses: readonly string[], options: MdnsOptions): Promise<MulticastSocket> {
    const { port = MDNS_PORT, ip = GROUP, loopback = true } = options
    const receiver = await bound(port, '0.0.0.0')
    const senders: Socket[] = []
    let fault: unknown = new Error('no network address')
    for (const address of addresses)
      try {
        receiver.addMembership(ip, address)
        const sender = await bound(port, address)
        senders.push(sender)
        sender.setMulticastInterface(address)
        sender.setMulticastTTL(255)
        sender.setMulticastLoopback(loopback)
      } catch (error) {
        fault = error
      }
    if (senders.length === 0) {
      receiver.close()
      throw fault
    }
    const socket = new MulticastSocket(receiver, senders)
    const heard = (message: Buffer, from: RemoteInfo) => socket.emit('message', message, from)
    for (const one of [receiver, ...senders]) {
      one.on('message', heard)
      // A cable that is pulled makes sends fail; the next look at the interfaces opens new sockets.
      one.on('error', () => {})
    }
    return socket
  }

  /** As `dgram.Socket.send` with offset and length. Errors of single interfaces are not worth telling: mDNS repeats itself. */
  send(message: Buffer, offset: number, length: number, port: number, address: string, done?: (error?: Error | null) => void): void {
    let waiting = this.#senders.length
    const finished = (): void => {
      waiting -= 1
      if (waiting === 0) done?.()
    }
    for (const sender of this.#senders)
      try {
        sender.send(message, offset, length, port, address, finished)
      } catch {
        finished()
      }
  }

  close(done?: () => void): void {
    for (const sender of this.#senders) sender.close()
    this.#receiver.close(done)
  }
}

function bound(port: number, address: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket({ type: 'udp4', reuseAddr: true })
    socket.once('error', (error) => {
      socket.close()
      reject(error)
    })
    socket.bind(port, address, () => {
      socket.removeAllListeners('error')
      resolve(socket)
    })
  })
}
