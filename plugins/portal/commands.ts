/** What HQ, the till and the shop's people ask of the portal. */
import type { Command } from '../../daemon/contract/command.ts'
import { Failure } from '../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../daemon/contract/json.ts'
import { noLog } from './compliance/connection-log.ts'
import { logoOf } from './files.ts'
import type { CodeOrder } from './logins/codes.ts'
import { normalPhone } from './logins/phone.ts'
import type { Language } from './pages/language.ts'
import type { Portal } from './portal.ts'
import { posterReceipt, posterSvg, wifiOf } from './poster.ts'
import type { Session } from './sessions/session.ts'

const argsOf = <Shape>(command: Command): Shape => command.args as unknown as Shape

const COMMANDS: Record<string, (portal: Portal, command: Command) => Promise<Json> | Json> = {
  sessions: (portal) => ({ sessions: portal.sessions.list().map((one) => shown(portal, one)) }),
  session: async (portal, command) => {
    const session = await find(portal, argsOf<{ session?: string; address?: string }>(command))
    return { session: session.id, visitor: session.visitor, active: session.phase === 'online', method: session.method }
  },
  grant,
  revoke,
  erase,
  code: (portal, command) => {
    const { member, ...order } = argsOf<Omit<CodeOrder, 'person'> & { member?: string }>(command)
    const person = member === undefined ? {} : { person: portal.context.pseudonym('person', member) }
    return portal.codes.issue({ ...order, ...person, role: member !== undefined && order.role === 'guest' ? 'member' : order.role })
  },
  offers: (portal) => ({
    offers: portal.front.pages.offers(new Date(portal.context.clock.wall()).toISOString().slice(0, 10)) as unknown as Json,
  }),
  poster,
  connections: (portal, command) => {
    const { from, to } = argsOf<{ from: string; to: string }>(command)
    return portal.log ? portal.log.export(from, to).then((done) => ({ ...done })) : noLog()
  },
  status: (portal) => portal.status(),
  'self-check': (portal) => portal.selfCheck(),
}

export async function runCommand(portal: Portal, command: Command): Promise<Json> {
  if (command.device !== '-') throw new Failure('device-unknown', `the portal is one device, "-", not "${command.device}"`)
  const run = Object.hasOwn(COMMANDS, command.command) ? COMMANDS[command.command] : undefined
  if (!run) throw new Failure('command-unknown', `the portal knows ${Object.keys(COMMANDS).join(', ')}, not "${command.command}"`)
  return run(portal, command)
}

function shown(portal: Portal, session: Session): JsonObject {
  const { id, visitor, station, method, startedAt, returning, bytesUp, bytesDown, phase } = session
  return {
    session: id,
    visitor,
    station,
    method,
    startedAt,
    returning,
    secondsLeft: portal.sessions.secondsLeft(session),
    bytesUp,
    bytesDown,
    active: phase === 'online',
  }
}

async function find(portal: Portal, { session: id, address }: { session?: string; address?: string }): Promise<Session> {
  if (id !== undefined) {
    const session = portal.sessions.byId(id)
    if (!session) throw new Failure('session-unknown', `no session "${id}" is open`)
    return session
  }
  const station = await portal.network.stationAt(address ?? '')
  const session = station && portal.sessions.of(station.mac)
  if (!session) throw new Failure('session-unknown', `nobody is online at ${address}`)
  return session
}

async function grant(portal: Portal, command: Command): Promise<Json> {
  const args = argsOf<{ address?: string; session?: string; minutes?: number }>(command)
  const known = args.session === undefined ? undefined : await find(portal, { session: args.session })
  const station = known ? { mac: known.mac, ip: known.ip ?? '' } : await portal.network.stationAt(args.address ?? '')
  if (!station) throw new Failure('not-found', `args.address: no guest has the address ${args.address}`)
  const session = await portal.logins.grant(station, args.minutes)
  return shown(portal, session)
}

async function revoke(portal: Portal, command: Command): Promise<Json> {
  const args = argsOf<{ session?: string; visitor?: string; address?: string; all?: true }>(command)
  if (args.session !== undefined || args.address !== undefined) {
    const session = await find(portal, args)
    return { ended: await portal.sessions.end((one) => one === session, 'revoked') }
  }
  return {
    ended: await portal.sessions.end((one) => args.all === true || one.visitor === args.visitor || one.station === args.visitor, 'revoked'),
  }
}

/** Everything local that leads back to a visitor. What the law has kept in the connection log is said, not hidden. */
async function erase(portal: Portal, command: Command): Promise<Json> {
  const args = argsOf<{ visitor?: string; phone?: string }>(command)
  const visitor = args.visitor ?? phoneVisitor(portal, args.phone ?? '')
  const record = await portal.visitors.get(visitor)
  const also = record?.stations.filter((one) => one !== visitor) ?? []
  const all = new Set([visitor, ...also])
  const sessions = await portal.sessions.end((one) => all.has(one.visitor) || all.has(one.station), 'erased')
  for (const one of all) {
    portal.presence.erased(one)
    portal.logins.forgetPhone(one)
    await portal.codes.erase(one)
    await portal.visitors.erase(one)
  }
  const log = await eraseFromLog(portal, all)
  // Awaited: who asked is to know that HQ will hear of it.
  await portal.context.emit({ device: '-', event: 'erased', data: { visitor, ...(also.length > 0 ? { also } : {}), sessions, log } })
  return { visitor, sessions, log }
}

function phoneVisitor(portal: Portal, phone: string): string {
  const number = normalPhone(phone, portal.config.sms.country)
  if (number === undefined) throw new Failure('args-invalid', 'args.phone: is not a phone number')
  return portal.logins.person(number)
}

async function eraseFromLog(portal: Portal, visitors: ReadonlySet<string>): Promise<'none' | 'kept' | 'deleted'> {
  if (!portal.log) return 'none'
  if (portal.config.compliance.erase === 'keep') return 'kept'
  await portal.log.erase(visitors)
  return 'deleted'
}

async function poster(portal: Portal, command: Command): Promise<Json> {
  const args = argsOf<{ size: 'A4' | 'A6'; language: Language; ssid?: string; printer?: string }>(command)
  const { config, context } = portal
  const network = wifiOf(config, args.ssid)
  if (args.printer === undefined) return { svg: posterSvg(config, network, args.language, args.size, logoOf(config.logo, config.logoFile)) }
  const printed = await context.call('printer', args.printer, 'print', { receipt: posterReceipt(config, network, args.language) })
  return { printed }
}
