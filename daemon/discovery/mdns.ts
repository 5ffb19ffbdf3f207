/** mDNS as discovery needs it: asks for the types the plugins name, announces the box, follows the network as it comes and goes. */
import Bonjour from 'bonjour-service'
import type { Clock, Logger } from '../contract/plugin.ts'
import { announce } from './announce.ts'
import type { Announced, MdnsOptions } from './api.ts'
import { type Answers, createMdnsCache, type NetworkService, type Question } from './mdns-cache.ts'
import { MulticastSocket, mdnsAddresses } from './multicast.ts'

export interface MdnsChannel {
  query(questions: readonly { name: string; type: Question['type'] | 'ANY' }[]): void
  listen(on: (answers: Answers) => void): () => void
}

export interface Mdns {
  /** Never rejects: without a network it waits for one. */
  start(): Promise<void>
  /** Says goodbye. */
  stop(): Promise<void>
  services(): NetworkService[]
  /** Asks the network again now. */
  ask(): void
}

export interface MdnsParts {
  options: MdnsOptions
  /** Types to browse for, asked again at each round. */
  types: () => string[]
  /** Absent: listen only. */
  announce?: { gateway: string; services: () => Announced[] }
  changed: () => void
  clock: Clock
  log: Logger
}

/** RFC 6762 5.2: intervals at least double, from one second; then often enough to renew records of the usual 75 minutes. */
const ROUNDS_MS = [1_000, 3_000, 9_000, 27_000]
const ROUND_MS = 10 * 60_000
/** How often the interfaces are looked at. There is no notice of them in Node. */
const INTERFACES_MS = 30_000

interface Session {
  addresses: string
  channel: MdnsChannel
  close(goodbye: boolean): Promise<void>
}

export function createMdns(parts: MdnsParts): Mdns {
  const { clock, log, options } = parts
  const cache = createMdnsCache(parts.types)
  let session: Session | undefined
  let own: string | undefined
  let stopped = true
  let complained = false
  let round = 0
  let opening: Promise<void> = Promise.resolve()
  let cancelRound = () => {}
  let cancelInterfaces = () => {}

  const ask = (): void => {
    const questions = parts.types().map((type) => ({ name: `${type}.local`, type: 'PTR' as const }))
    session?.channel.query([...questions, ...cache.missing()])
  }

  const rounds = (): void => {
    cancelRound()
    if (stopped) return
    ask()
    cancelRound = clock.timer(ROUNDS_MS[round] ?? ROUND_MS, rounds)
    round += 1
    if (cache.expire(clock.mono())) parts.changed()
  }

  const heard = (answers: Answers): void => {
    const before = new Set(cache.missing().map((question) => question.name))
    if (!cache.take(answers, clock.mono())) return
    // A printer that answers with a bare pointer is asked for the rest at once, once; the rounds ask again.
    const missing = cache.missing().filter((question) => !before.has(question.name))
    if (missing.length > 0) session?.channel.query(missing)
    parts.changed()
  }

  const open = async (addresses: string[]): Promise<void> => {
    let socket: MulticastSocket
    try {
      socket = await MulticastSocket.open(addresses, options)
    } catch (error) {
      if (!complained) log.warn({ reason: (error as Error).message }, 'no mDNS: network devices are not found and the box is not announced')
      complained = true
      return
    }
    complained = false
    const abort = new AbortController()
    const { bonjour, channel } = createChannel(socket, options)
    const unlisten = channel.listen(heard)
    const announced = parts.announce
      ? announce({
          bonjour,
          channel,
          gateway: parts.announce.gateway,
          services: parts.announce.services(),
          addresses: () => mdnsAddresses({}),
          signal: abort.signal,
          clock,
          log,
        })
      : Promise.resolve(undefined)
    void announced.then((names) => {
      own = names?.name
    })
    session = {
      addresses: addresses.join(),
      channel,
      async close(goodbye) {
        abort.abort(new Error('mDNS closes'))
        await announced
        unlisten()
        if (goodbye) await new Promise<void>((resolve) => bonjour.unpublishAll(() => resolve()))
        await new Promise<void>((resolve) => bonjour.destroy(() => resolve()))
      },
    }
    round = 0
    rounds()
  }

  const follow = async (): Promise<void> => {
    const addresses = stopped ? [] : mdnsAddresses(options)
    if (session?.addresses !== addresses.join()) {
      const old = session
      session = undefined
      await old?.close(stopped)
      if (addresses.length > 0) await open(addresses)
      else if (!stopped && !complained) {
        complained = true
        log.info({}, 'no network yet: mDNS waits for one')
      }
    }
    cancelInterfaces()
    if (!stopped) cancelInterfaces = clock.timer(INTERFACES_MS, run)
  }

  /** One at a time, in order. */
  const run = (): Promise<void> => {
    opening = opening.then(follow)
    return opening
  }

  return {
    async start() {
      stopped = false
      await run()
    },
    async stop() {
      stopped = true
      cancelRound()
      cancelInterfaces()
      await run()
    },
    services: () => cache.services().filter((service) => service.name !== own),
    ask,
  }
}

/** What `multicast-dns` is to us; bonjour-service keeps it to itself. */
interface Responder {
  on(event: 'response', listener: (answers: Answers) => void): void
  on(event: 'error' | 'warning', listener: (error: Error) => void): void
  removeListener(event: 'response', listener: (answers: Answers) => void): void
  query(packet: { questions: { name: string; type: string }[] }): void
}

function createChannel(socket: MulticastSocket, options: MdnsOptions): { bonjour: Bonjour; channel: MdnsChannel } {
  // `bind` and `multicast` off: the socket is bound and has joined the group already.
  const wires = {
    socket,
    bind: false,
    multicast: false,
    ...(options.port === undefined ? {} : { port: options.port }),
    ...(options.ip ? { ip: options.ip } : {}),
  }
  const bonjour = new Bonjour(wires as ConstructorParameters<typeof Bonjour>[0], () => {})
  const { mdns } = (bonjour as unknown as { server: { mdns: Responder } }).server
  // Without a listener an `error` would end the process; a packet that cannot be decoded is the sender's matter.
  mdns.on('error', () => {})
  mdns.on('warning', () => {})
  return {
    bonjour,
    channel: {
      query(questions) {
        if (questions.length > 0) mdns.query({ questions: [...questions] })
      },
      listen(on) {
        mdns.on('response', on)
        return () => mdns.removeListener('response', on)
      },
    },
  }
}
