/** The shop's broker inside the daemon: aedes, which speaks MQTT 3.1 and 3.1.1 (an MQTT 5 client is refused and falls back or not). */
import { createServer, type Server, type Socket } from 'node:net'
import { Aedes, type AuthenticateError, type Client, type PublishPacket } from 'aedes'
import { type LanUser, parseListen } from '../config.ts'
import { Failure } from '../contract/errors.ts'
import type { Log } from '../log.ts'
import { createVerifier, type VerifyPassword } from '../password.ts'
import type { LanBroker, LanHandlers, LanPublish, LanWill } from './lan-api.ts'
import { LanEmitter } from './lan-emitter.ts'
import { mayPublish, maySubscribe, OPEN, type Rights } from './lan-filters.ts'
import { PacketGuard } from './lan-packets.ts'

export interface EmbeddedLimits {
  /** A packet larger than this costs its sender the connection. */
  packetBytes: number
  connections: number
  subscriptionsPerClient: number
  /** Bytes that wait for one client to read; beyond, it is cut off. */
  unreadBytes: number
  /** Retained messages of clients outside `shop/`, and the size of each. More are delivered live only. */
  clientRetained: number
  clientRetainedBytes: number
}

const LIMITS: EmbeddedLimits = {
  packetBytes: 256 * 1024,
  connections: 100,
  subscriptionsPerClient: 100,
  unreadBytes: 2 * 1024 * 1024,
  clientRetained: 1_000,
  clientRetainedBytes: 4 * 1024,
}
const CONNECT_TIMEOUT_MS = 10_000
const DRAIN_TIMEOUT_MS = 30_000
const TCP_KEEPALIVE_MS = 60_000
const CLIENT_ID_LENGTH = 256

export interface EmbeddedOptions {
  listen: string
  users: readonly LanUser[]
  log: Log
  limits?: Partial<EmbeddedLimits>
}

export function createEmbeddedBroker(options: EmbeddedOptions): LanBroker {
  return new EmbeddedBroker(options)
}

type Packet = PublishPacket & { brokerCounter?: number }

/** A client that was let in. */
interface Admitted extends Rights {
  user: string
  filters: Set<string>
}

class EmbeddedBroker implements LanBroker {
  readonly #listen: string
  readonly #users: ReadonlyMap<string, LanUser>
  readonly #log: Log
  readonly #limits: EmbeddedLimits
  readonly #verify: VerifyPassword = createVerifier()
  readonly #emitter = new LanEmitter<Packet>()
  readonly #admitted = new WeakMap<Client, Admitted>()
  readonly #sockets = new Set<Socket>()
  /** Topics kept for clients (the gateway's own below `shop/` are not counted). */
  readonly #clientRetained = new Set<string>()
  #handlers: LanHandlers | undefined
  #aedes: Aedes | undefined
  #server: Server | undefined

  constructor(options: EmbeddedOptions) {
    this.#listen = options.listen
    this.#users = new Map(options.users.map((user) => [user.name, user]))
    this.#log = options.log
    this.#limits = { ...LIMITS, ...options.limits }
  }

  async start(filters: readonly string[], handlers: LanHandlers): Promise<void> {
    this.#handlers = handlers
    const aedes = await Aedes.createBroker({
      mq: this.#emitter,
      // The emitter does not wait, and a socket may have as many listeners as it likes.
      concurrency: 0,
      connectTimeout: CONNECT_TIMEOUT_MS,
      drainTimeout: DRAIN_TIMEOUT_MS,
      maxInflightInbound: 100,
      maxTopicLevels: 20,
      preConnect: (client, packet, callback) => {
        // Sessions end with the connection: what a till misses while it is away is not kept in memory here.
        packet.clean = true
        const odd = packet.clientId.length > CLIENT_ID_LENGTH
        if (odd) this.#log.warn(about(client), 'a client id is too long; the client was refused')
        callback(null, !odd)
      },
      authenticate: (client, username, password, done) => {
        this.#authenticate(client, username, password?.toString()).then(
          (error) => done(error ?? null, error === undefined),
          () => done(refusal('authentication failed'), false),
        )
      },
      authorizePublish: (client, packet, callback) => callback(this.#authorizePublish(client, packet)),
      authorizeSubscribe: (client, subscription, callback) =>
        callback(null, this.#authorizeSubscribe(client, subscription.topic) ? subscription : null),
      authorizeForward: (client, packet) => (this.#keepsUp(client) ? packet : null),
    })
    aedes.on('clientError', (client, error) => this.#log.info({ ...about(client), reason: error.message }, 'a client was cut off'))
    aedes.on('connectionError', (client, error) => this.#log.info({ ...about(client), reason: error.message }, 'a connection was refused'))
    aedes.on('unsubscribe', (gone, client) => {
      for (const filter of gone) this.#admitted.get(client)?.filters.delete(filter)
    })
    for (const filter of filters) this.#emitter.on(filter, (packet, done) => this.#receive(packet, done))
    this.#aedes = aedes
    this.#server = createServer((socket) => this.#connected(aedes, socket))
    try {
      await listen(this.#server, this.#listen)
    } catch (error) {
      await new Promise<void>((resolve) => aedes.close(() => resolve()))
      throw error
    }
    handlers.state({ online: true, detail: `listening on ${this.#listen}` })
  }

  publish(topic: string, payload: string | Buffer, { qos, retain }: LanPublish): void {
    if (!retain && !this.wanted(topic)) return
    this.#aedes?.publish({ cmd: 'publish', topic, payload, qos, retain, dup: false }, (error) => {
      if (error) this.#log.warn({ topic, reason: error.message }, 'a message could not be delivered')
    })
  }

  wanted(topic: string): boolean {
    return this.#emitter.listeners(topic) > 0
  }

  /** Its memory began with this process: nothing is left from before. */
  async retained(): Promise<string[]> {
    return []
  }

  port(): number {
    const address = this.#server?.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  async stop(last: LanWill): Promise<void> {
    const [aedes, server] = [this.#aedes, this.#server]
    if (!aedes || !server) return
    this.publish(last.topic, last.payload, { qos: 1, retain: true })
    // One turn for the last word to be written to the sockets.
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    await new Promise<void>((resolve) => aedes.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroy()
    await closed
    this.#aedes = undefined
    this.#handlers?.state({ online: false, detail: 'stopped' })
  }

  #connected(aedes: Aedes, socket: Socket): void {
    if (this.#sockets.size >= this.#limits.connections) {
      this.#log.warn({ connections: this.#sockets.size }, 'too many connections to the shop broker; one more was refused')
      socket.destroy()
      return
    }
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    // Finds out about a till that was switched off, also when its client asked for no MQTT keep-alive.
    socket.setKeepAlive(true, TCP_KEEPALIVE_MS)
    socket.setNoDelay(true)
    const guard = new PacketGuard(this.#limits.packetBytes)
    const read = socket.read.bind(socket)
    socket.read = (size) => {
      const chunk: unknown = read(size)
      const bytes = Buffer.isBuffer(chunk) ? guard.push(chunk) : undefined
      if (bytes === undefined) return chunk
      this.#log.warn(
        { from: socket.remoteAddress ?? '', bytes, code: 'payload-too-large' },
        `a packet over ${this.#limits.packetBytes} bytes came in; its connection was closed`,
      )
      socket.destroy()
      return null
    }
    aedes.handle(socket)
  }

  async #authenticate(client: Client, username: string | undefined, password: string | undefined): Promise<AuthenticateError | undefined> {
    if (this.#users.size === 0) {
      this.#admitted.set(client, { ...OPEN, user: '-', filters: new Set() })
      return undefined
    }
    const user = username === undefined ? undefined : this.#users.get(username)
    if (!user || password === undefined || !(await this.#verify(password, user.passwordHash))) {
      this.#log.warn({ ...about(client), user: username ?? '', code: 'unauthorized' }, 'a client with a wrong name or password was refused')
      return refusal('wrong name or password')
    }
    this.#admitted.set(client, { publish: user.publish, subscribe: user.subscribe, user: user.name, filters: new Set() })
    return undefined
  }

  /** Undefined when allowed. A refused publish closes the connection: MQTT 3.1.1 has no other way to tell (3.3.5). */
  #authorizePublish(client: Client | null, packet: PublishPacket): Error | null {
    // The gateway's own.
    if (client === null) return null
    const rights = this.#admitted.get(client)
    if (!rights || !mayPublish(rights, packet.topic)) {
      this.#log.warn(
        { ...about(client), user: rights?.user ?? '', topic: packet.topic.slice(0, 200), code: 'forbidden' },
        'a client may not publish there',
      )
      return new Error('not authorized to publish there')
    }
    if (packet.retain) packet.retain = this.#mayRetain(client, packet)
    return null
  }

  /** A retained command would run again for everyone who subscribes; other topics may be kept, up to a limit. */
  #mayRetain(client: Client, packet: PublishPacket): boolean {
    const { topic, payload } = packet
    if (topic.startsWith('shop/')) return false
    if (payload.length === 0) {
      this.#clientRetained.delete(topic)
      return true
    }
    const fits =
      payload.length <= this.#limits.clientRetainedBytes &&
      (this.#clientRetained.has(topic) || this.#clientRetained.size < this.#limits.clientRetained)
    if (fits) this.#clientRetained.add(topic)
    else this.#log.warn({ ...about(client), topic: topic.slice(0, 200) }, 'a message is too large, or one too many, to be retained')
    return fits
  }

  #authorizeSubscribe(client: Client, filter: string): boolean {
    const admitted = this.#admitted.get(client)
    const many = admitted !== undefined && admitted.filters.size >= this.#limits.subscriptionsPerClient
    if (admitted && !many && maySubscribe(admitted, filter)) {
      admitted.filters.add(filter)
      return true
    }
    this.#log.warn(
      { ...about(client), user: admitted?.user ?? '', filter: filter.slice(0, 200), code: 'forbidden' },
      many ? 'a client has too many subscriptions' : 'a client may not subscribe to that',
    )
    return false
  }

  /** A client that does not read what it asked for is cut off before its backlog takes the memory. */
  #keepsUp(client: Client): boolean {
    if (client.conn.destroyed) return false
    if (client.conn.writableLength <= this.#limits.unreadBytes) {
      this.#gather(client)
      return true
    }
    this.#log.warn({ ...about(client), bytes: client.conn.writableLength }, 'a client does not read its messages; it was cut off')
    client.conn.destroy()
    return false
  }

  /** aedes writes each packet in a turn of its own, one system call each; held until they are all there, it is one for all. */
  #gather(client: Client): void {
    const { conn } = client
    if (conn.writableCorked > 0) return
    conn.cork()
    setImmediate(() => setImmediate(() => conn.uncork()))
  }

  #receive(packet: Packet, done: () => void): void {
    const payload = typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload
    this.#handlers?.message({ topic: packet.topic, payload, retained: false })
    done()
  }
}

function about(client: Client): { client: string; from: string } {
  const { remoteAddress } = client.conn as Partial<Socket>
  return { client: String(client.id ?? '').slice(0, 64), from: remoteAddress ?? '' }
}

function refusal(message: string): AuthenticateError {
  // 5: CONNACK "not authorized" (MQTT 3.1.1 section 3.2.2.3).
  return Object.assign(new Error(message), { returnCode: 5 })
}

function listen(server: Server, at: string): Promise<void> {
  const { host, port } = parseListen(at)
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        error.code === 'EADDRINUSE'
          ? new Failure(
              'port-taken',
              `lan.listen: another program listens on ${at} already`,
              [{ path: 'lan.listen', message: `${at} is taken` }],
              error,
            )
          : new Failure(
              'config-invalid',
              `lan.listen: cannot listen on ${at}: ${error.message}`,
              [{ path: 'lan.listen', message: error.message }],
              error,
            ),
      )
    })
    server.listen(port, host, () => resolve())
  })
}
