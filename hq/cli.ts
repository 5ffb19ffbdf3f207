/** HQ's side on the command line: `shopwire hq sink | desk | desired | cmd`. */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import type { CommandResult } from '../daemon/contract/command.ts'
import { Failure } from '../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../daemon/contract/json.ts'
import type { Clock, Logger, MonoMs, WallMs } from '../daemon/contract/plugin.ts'
import { GATEWAY_ID, hq as topics } from '../daemon/contract/topics.ts'
import type { DownCommand } from '../daemon/contract/uplink.ts'
import { type BrokerArgs, credentials, withBroker } from './broker.ts'
import { Book, type BookFile } from './desk/book.ts'
import { type Asked, Desk } from './desk/desk.ts'
import { Sink } from './sink/sink.ts'
import { openSqliteStore } from './sink/sqlite-store.ts'

export interface HqIo {
  out(line: string): void
  err(line: string): void
  signal: AbortSignal
}

const USAGE = `usage:
  shopwire hq sink --broker URL [--db FILE] [BROKER OPTIONS] [--json]
  shopwire hq desk --broker URL --book FILE.json [BROKER OPTIONS] [--json]
  shopwire hq desired GATEWAY FILE.json --broker URL [--db FILE] [BROKER OPTIONS] [--json]
  shopwire hq cmd GATEWAY PLUGIN DEVICE COMMAND [JSON] --broker URL [--timeout SECONDS] [BROKER OPTIONS] [--json]
BROKER OPTIONS: --ca FILE --cert FILE --key FILE --username NAME --password-file FILE`

const DEFAULT_DB = 'hq.sqlite'
const STATUS_MS = 5_000

/** Exit codes: 0 done, 1 the answer is no, 2 usage, 3 the broker cannot be reached. */
export async function hq(args: string[], io: HqIo): Promise<number> {
  const [name, ...rest] = args
  const run = name === undefined ? undefined : { sink: runSink, desk: runDesk, desired: runDesired, cmd: runCommand }[name]
  let given: Given
  try {
    if (!run) throw new Failure('not-found', `there is no "hq ${name ?? ''}"`)
    given = read(rest)
  } catch (error) {
    io.err(`${(error as Error).message}\n${USAGE}`)
    return 2
  }
  try {
    return await run(given, io)
  } catch (error) {
    if (error instanceof UsageFault) {
      io.err(`${error.message}\n${USAGE}`)
      return 2
    }
    if (!(error instanceof Failure)) throw error
    io.err(`${error.code}: ${error.message}`)
    return error.code === 'broker-unreachable' ? 3 : 1
  }
}

class UsageFault extends Error {}

interface Given extends BrokerArgs {
  db: string
  book?: string
  json: boolean
  timeoutMs: number
  words: string[]
}

function read(args: string[]): Given {
  const text = { type: 'string' } as const
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      broker: text,
      db: text,
      book: text,
      ca: text,
      cert: text,
      key: text,
      username: text,
      'password-file': text,
      timeout: text,
      json: { type: 'boolean' },
    },
  })
  const { broker, db, book, timeout = '30', json = false, 'password-file': passwordFile, ...rest } = values
  if (broker === undefined || !URL.canParse(broker))
    throw new Failure('args-invalid', '--broker must be a URL: mqtt://host:port or mqtts://host:port')
  if (!(Number(timeout) > 0)) throw new Failure('args-invalid', '--timeout must be seconds')
  return {
    broker,
    db: db ?? DEFAULT_DB,
    json,
    timeoutMs: Number(timeout) * 1000,
    words: positionals,
    ...(book === undefined ? {} : { book }),
    ...(passwordFile === undefined ? {} : { passwordFile }),
    ...rest,
  }
}

/** Runs until the signal. A broker that is away is waited for; 3 when it was never there. */
async function runSink(given: Given, io: HqIo): Promise<number> {
  if (given.words.length > 0) throw new UsageFault(`"${given.words[0]}" is too much`)
  const mqtt = { ...credentials(given), clientId: `shopwire-sink-${randomUUID().slice(0, 8)}` }
  const store = await openSqliteStore(given.db)
  const sink = new Sink({ url: given.broker, mqtt, store, clock, log: lineLog(given.json, io) })
  let connected = false
  const started = sink.start().then(() => {
    connected = true
    if (!given.json) io.out(`storing in ${given.db}`)
  })
  let said = ''
  const timer = setInterval(() => {
    const { batches, events, duplicates, malformed, conflicts, shed } = sink.status()
    const counts = { batches, events, duplicates, malformed, conflicts, shed }
    const line = given.json ? JSON.stringify({ time: new Date().toISOString(), ...counts }) : describe(counts)
    const key = JSON.stringify(counts)
    if (key !== said && batches + malformed > 0) io.out(line)
    said = key
  }, STATUS_MS)
  await Promise.race([aborted(io.signal), started.then(() => aborted(io.signal))])
  clearInterval(timer)
  await sink.stop()
  await store.close()
  return connected ? 0 : 3
}

/** Answers shops from a file, to try them against. Runs until the signal. */
async function runDesk(given: Given, io: HqIo): Promise<number> {
  if (given.words.length > 0) throw new UsageFault(`"${given.words[0]}" is too much`)
  if (given.book === undefined) throw new UsageFault('--book FILE.json is needed: codes, members, charges')
  const book = new Book(readJson(given.book) as BookFile, (phone, code) => io.out(`text message to ${phone}: ${code}`))
  const mqtt = { ...credentials(given), clientId: `shopwire-desk-${randomUUID().slice(0, 8)}` }
  const answer = async (asked: Asked): Promise<Json> => {
    const result = await book.answer(asked)
    // What was asked may hold a secret: its name alone is shown.
    io.out(
      given.json
        ? JSON.stringify({ gateway: asked.gateway, request: asked.request })
        : `${asked.gateway}: ${asked.plugin} ${asked.request}`,
    )
    return result
  }
  const desk = new Desk({ url: given.broker, mqtt, answer, clock, log: lineLog(given.json, io) })
  let connected = false
  const started = desk.start().then(() => {
    connected = true
  })
  await Promise.race([aborted(io.signal), started.then(() => aborted(io.signal))])
  await desk.stop()
  return connected ? 0 : 3
}

/** Stores the next version of a gateway's desired config, and sends it. */
async function runDesired(given: Given, io: HqIo): Promise<number> {
  const [gateway, file, ...more] = given.words
  if (gateway === undefined || file === undefined || more.length > 0) throw new UsageFault('GATEWAY and FILE.json are needed')
  checkGateway(gateway)
  const config = readJson(file)
  return withBroker(given, async (client) => {
    const store = await openSqliteStore(given.db)
    try {
      const desired = await store.setDesired(gateway, config)
      await client.publishAsync(topics.down(gateway, 'desired'), JSON.stringify(desired), { qos: 1, retain: true })
      const { version, digest } = desired
      io.out(given.json ? JSON.stringify({ gateway, version, digest }) : `${gateway}: desired version ${version} stored and sent`)
      return 0
    } finally {
      await store.close()
    }
  })
}

/** Sends a command and prints what comes of it. */
async function runCommand(given: Given, io: HqIo): Promise<number> {
  const [gateway, plugin, device, command, json, ...more] = given.words
  if (gateway === undefined || plugin === undefined || device === undefined || command === undefined || more.length > 0)
    throw new UsageFault('GATEWAY, PLUGIN, DEVICE and COMMAND are needed')
  checkGateway(gateway)
  const args = json === undefined ? undefined : parseJson(json, 'the arguments')
  const now = Date.now()
  const message: DownCommand = {
    id: randomUUID(),
    plugin,
    device,
    command,
    ...(args === undefined ? {} : { args }),
    issuedAt: new Date(now).toISOString(),
    expiresAt: new Date(now + given.timeoutMs).toISOString(),
  }
  return withBroker(given, async (client) => {
    const result = new Promise<CommandResult | undefined>((resolve) => {
      io.signal.addEventListener('abort', () => resolve(undefined))
      client.on('close', () => resolve(undefined))
      const cancel = clock.timer(given.timeoutMs, () => resolve(undefined))
      client.on('message', (_topic, payload) => {
        const answer = parseJson(payload.toString('utf8'), 'the answer') as unknown as CommandResult
        if (answer?.id !== message.id) return
        io.out(given.json ? JSON.stringify(answer) : describeResult(answer))
        if (answer.status === 'accepted' || answer.status === 'running') return
        cancel()
        resolve(answer)
      })
    })
    await client.subscribeAsync(topics.up(gateway, 'result'), { qos: 1 })
    await client.publishAsync(topics.down(gateway, 'command'), JSON.stringify(message), { qos: 1 })
    const answer = await result
    if (!answer) io.err(`no answer from ${gateway} in ${given.timeoutMs / 1000} s; command ${message.id}`)
    return answer?.status === 'done' ? 0 : 1
  })
}

function checkGateway(gateway: string): void {
  if (!GATEWAY_ID.test(gateway)) throw new UsageFault(`"${gateway}" is no gateway id: lower-case letters, digits and "-", 3 to 48 of them`)
}

function readJson(file: string): JsonObject {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new Failure('config-unreadable', `${file}: ${(error as Error).message}`, [], error)
  }
  const value = parseJson(text, file)
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw new Failure('payload-malformed', `${file} must be a JSON object`)
  return value
}

function parseJson(text: string, what: string): Json {
  try {
    return JSON.parse(text) as Json
  } catch {
    throw new Failure('payload-malformed', `${what} must be JSON`)
  }
}

function describe(counts: {
  batches: number
  events: number
  duplicates: number
  malformed: number
  conflicts: number
  shed: number
}): string {
  const rest = (['duplicates', 'malformed', 'conflicts', 'shed'] as const)
    .filter((key) => counts[key] > 0)
    .map((key) => `, ${counts[key]} ${key}`)
  return `${counts.events} events stored in ${counts.batches} batches${rest.join('')}`
}

function describeResult({ status, result, error }: CommandResult): string {
  const tail = error ? `: ${error.code}: ${error.message}` : result === undefined ? '' : `: ${JSON.stringify(result)}`
  return `${status}${tail}`
}

function lineLog(json: boolean, io: HqIo): Logger {
  const at = (level: string, write: (line: string) => void) => (fields: JsonObject, message: string) =>
    write(
      json
        ? JSON.stringify({ level, time: new Date().toISOString(), ...fields, msg: message })
        : [
            message,
            ...Object.entries(fields).map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`),
          ].join(' '),
    )
  return { debug: () => {}, info: at('info', io.out), warn: at('warn', io.err), error: at('error', io.err) }
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}

const clock: Omit<Clock, 'patience'> = {
  wall: () => Date.now() as WallMs,
  mono: () => performance.now() as MonoMs,
  timer(ms, run) {
    const handle = setTimeout(run, ms)
    return () => clearTimeout(handle)
  },
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      const handle = setTimeout(resolve, ms)
      signal?.addEventListener('abort', () => {
        clearTimeout(handle)
        reject(signal.reason)
      })
    }),
}
