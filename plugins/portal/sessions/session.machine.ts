/** Who is online, until when, and why no longer. One station, one session. Times are monotonic ms; what is kept is seconds left, since a box without a clock cannot trust a date. */
import type { Machine } from '../../../daemon/contract/machine.ts'
import type { Grant, Mac, Usage } from '../network/api.ts'
import type { EndReason, Kept, KeptUsage, Login, Session } from './session.ts'

export interface SessionLimits {
  /** Sessions at once. */
  capacity: number
  /** Without a byte for so long a session ends; 0: never. */
  idleMs: number
}

export interface SessionState {
  limits: SessionLimits
  readonly sessions: Map<Mac, Session>
  /** When bytes were last counted: who moved none since then cannot be told from who did. */
  countedAt: number
  /** Something changed since the last `keep-usage` effect. */
  unsaved: boolean
  /** A start was told and that is not kept yet: it would be told again after a crash. */
  told: boolean
}

export type SessionEvent =
  | { kind: 'login'; login: Login; id: string; at: string; now: number }
  | { kind: 'granted'; macs: readonly Mac[] }
  | { kind: 'grant-failed'; macs: readonly Mac[] }
  | { kind: 'usage'; usage: readonly Usage[]; now: number }
  | { kind: 'seen'; mac: Mac; now: number }
  | { kind: 'tick'; now: number }
  | { kind: 'end'; macs: readonly Mac[]; reason: EndReason }
  | { kind: 'revoked'; macs: readonly Mac[]; now: number }
  | { kind: 'announced'; id: string }
  | { kind: 'limits'; limits: SessionLimits }
  /** What an earlier process kept, with what was last known of the time and bytes used. */
  | { kind: 'restore'; kept: readonly Kept[]; usage: Readonly<Record<string, KeptUsage>>; now: number }
  | { kind: 'save'; now: number }

export type SessionEffect =
  /** Let it out; answered by `granted` or `grant-failed`. */
  | { kind: 'grant'; grant: Grant }
  /** Take it in again; answered by `revoked`. */
  | { kind: 'revoke'; mac: Mac }
  | { kind: 'keep'; session: Session }
  | { kind: 'forget'; session: Session }
  /** Time and bytes used by all, to be kept. */
  | { kind: 'keep-usage'; usage: Record<string, KeptUsage> }
  /** Answered by `announced` once durable. */
  | { kind: 'started'; session: Session }
  | { kind: 'ended'; session: Session; reason: EndReason; seconds: number }
  | { kind: 'full' }

/**
 * The network holds a grant this much longer than the session: the session's own end comes first and reads the counters, and the network's
 * time-out is there for the day this process is not.
 */
const GRANT_SLACK_SECONDS = 15

const WORTH_KEEPING_MS = 60_000

export function newSessions(limits: SessionLimits): SessionState {
  return { limits, sessions: new Map(), countedAt: Number.NEGATIVE_INFINITY, unsaved: false, told: false }
}

export const secondsLeft = (session: Session, now: number): number => Math.max(0, Math.ceil((session.endsAt - now) / 1000))

export const sessionMachine: Machine<SessionState, SessionEvent, SessionEffect> = {
  step(state, event) {
    switch (event.kind) {
      case 'login':
        return login(state, event)
      case 'granted':
        return event.macs.flatMap((mac) => granted(state.sessions.get(mac)))
      case 'grant-failed':
        return event.macs.flatMap((mac) => grantFailed(state, mac))
      case 'usage':
        state.countedAt = event.now
        for (const usage of event.usage) count(state, usage, event.now)
        return []
      case 'seen': {
        const session = state.sessions.get(event.mac)
        if (session) session.activeAt = event.now
        return []
      }
      case 'tick':
        return tick(state, event.now)
      case 'end':
        return event.macs.flatMap((mac) => close(state.sessions.get(mac), event.reason))
      case 'revoked':
        return event.macs.flatMap((mac) => revoked(state, mac, event.now))
      case 'announced':
        for (const session of state.sessions.values()) if (session.id === event.id) session.announced = true
        state.unsaved = true
        state.told = true
        return []
      case 'limits':
        state.limits = event.limits
        return []
      case 'restore':
        return event.kept.flatMap((kept) => restore(state, kept, event.usage[kept.id], event.now))
      case 'save':
        return save(state, event.now)
    }
  },
}

function login(state: SessionState, event: Extract<SessionEvent, { kind: 'login' }>): readonly SessionEffect[] {
  const { login, now } = event
  const before = state.sessions.get(login.mac)
  const effects: SessionEffect[] = []
  if (before && before.phase !== 'closing' && before.visitor === login.visitor && !agreesAnew(before, login)) {
    const isLonger = extend(before, login, now)
    const again: SessionEffect = { kind: 'grant', grant: grantOf(before, now) }
    // A second tap of the same finger: who waits for the first grant waits for this one, and nothing is written.
    if (!isLonger) return before.phase === 'opening' ? [again] : []
    return [again, { kind: 'keep', session: before }, ...save(state, now)]
  }
  if (!before && state.sessions.size >= state.limits.capacity) return [{ kind: 'full' }]
  // The same station as somebody else, or the same one back while its last session is being closed: the network keeps counting on.
  if (before) effects.push(...ended(state, before, before.reason ?? 'replaced', now))
  const { seconds, ...who } = login
  const session: Session = {
    ...who,
    id: event.id,
    startedAt: event.at,
    openedAt: now,
    endsAt: now + seconds * 1000,
    activeAt: now,
    usedSeconds: 0,
    bytesUp: 0,
    bytesDown: 0,
    baseUp: before ? before.baseUp + before.bytesUp : 0,
    baseDown: before ? before.baseDown + before.bytesDown : 0,
    announced: false,
    phase: 'opening',
  }
  state.sessions.set(session.mac, session)
  state.unsaved = true
  effects.push({ kind: 'keep', session }, { kind: 'grant', grant: grantOf(session, now) })
  return effects
}

/** What was agreed to is told with the start of a session: another consent, and be it the first one, is another session. */
function agreesAnew({ consent: before }: Session, { consent: now }: Login): boolean {
  if (now === undefined) return false
  return now.marketing !== before?.marketing || now.version !== before.version || now.hash !== before.hash
}

/** Whether that is more time, worth telling the network of. Less than that is not given: the network would end it before its time. */
function extend(session: Session, login: Login, now: number): boolean {
  session.activeAt = now
  if (login.ip !== undefined) session.ip = login.ip
  const endsAt = now + login.seconds * 1000
  if (endsAt - session.endsAt < WORTH_KEEPING_MS) return false
  session.endsAt = endsAt
  if (login.downKbps !== undefined) session.downKbps = login.downKbps
  if (login.upKbps !== undefined) session.upKbps = login.upKbps
  return true
}

function grantOf(session: Session, now: number): Grant {
  return {
    mac: session.mac,
    ...(session.ip === undefined ? {} : { ip: session.ip }),
    seconds: secondsLeft(session, now) + GRANT_SLACK_SECONDS,
    ...(session.downKbps === undefined ? {} : { downKbps: session.downKbps }),
    ...(session.upKbps === undefined ? {} : { upKbps: session.upKbps }),
    bytesUp: session.baseUp + session.bytesUp,
    bytesDown: session.baseDown + session.bytesDown,
  }
}

function granted(session: Session | undefined): readonly SessionEffect[] {
  if (!session || session.phase === 'closing') return []
  delete session.owed
  if (session.phase === 'online') return []
  session.phase = 'online'
  return session.announced ? [] : [{ kind: 'started', session }]
}

/**
 * More time for one that is online, and one of an earlier process, are tried again. A new one is given up, and taken back: the network may have let it
 * out all the same, its answer being lost, and nobody is online without a session.
 */
function grantFailed(state: SessionState, mac: Mac): readonly SessionEffect[] {
  const session = state.sessions.get(mac)
  if (!session || session.phase === 'closing' || session.owed) return []
  if (session.phase === 'online') {
    session.owed = true
    return []
  }
  state.sessions.delete(mac)
  return [
    { kind: 'forget', session },
    { kind: 'revoke', mac },
  ]
}

function count(state: SessionState, usage: Usage, now: number): void {
  const session = state.sessions.get(usage.mac)
  if (!session) return
  const up = Math.max(0, usage.bytesUp - session.baseUp)
  const down = Math.max(0, usage.bytesDown - session.baseDown)
  if (up === session.bytesUp && down === session.bytesDown) return
  session.bytesUp = Math.max(session.bytesUp, up)
  session.bytesDown = Math.max(session.bytesDown, down)
  session.activeAt = now
  state.unsaved = true
}

function tick(state: SessionState, now: number): readonly SessionEffect[] {
  const effects: SessionEffect[] = []
  for (const session of state.sessions.values()) {
    // A revoke that did not come through is asked for again.
    if (session.phase === 'closing') effects.push({ kind: 'revoke', mac: session.mac })
    else if (session.endsAt <= now) effects.push(...close(session, 'expired'))
    else if (session.owed) effects.push({ kind: 'grant', grant: grantOf(session, now) })
    else if (state.limits.idleMs > 0 && Math.min(now, state.countedAt) - session.activeAt >= state.limits.idleMs)
      effects.push(...close(session, 'idle'))
  }
  return effects
}

function close(session: Session | undefined, reason: EndReason): readonly SessionEffect[] {
  if (!session || session.phase === 'closing') return []
  session.phase = 'closing'
  session.reason = reason
  return [{ kind: 'revoke', mac: session.mac }]
}

function revoked(state: SessionState, mac: Mac, now: number): readonly SessionEffect[] {
  const session = state.sessions.get(mac)
  return session?.phase === 'closing' ? ended(state, session, session.reason ?? 'revoked', now) : []
}

function ended(state: SessionState, session: Session, reason: EndReason, now: number): readonly SessionEffect[] {
  state.sessions.delete(session.mac)
  state.unsaved = true
  return [
    { kind: 'ended', session, reason, seconds: usedSeconds(session, now) },
    { kind: 'forget', session },
  ]
}

function usedSeconds(session: Session, now: number): number {
  return session.usedSeconds + Math.round(Math.max(0, Math.min(now, session.endsAt) - session.openedAt) / 1000)
}

function restore(state: SessionState, kept: Kept, usage: KeptUsage | undefined, now: number): readonly SessionEffect[] {
  const left = usage?.left ?? kept.seconds
  const { seconds: _granted, ...who } = kept
  const session: Session = {
    ...who,
    openedAt: now,
    endsAt: now + left * 1000,
    activeAt: now,
    usedSeconds: usage?.used ?? 0,
    bytesUp: usage?.up ?? 0,
    bytesDown: usage?.down ?? 0,
    baseUp: kept.baseUp ?? 0,
    baseDown: kept.baseDown ?? 0,
    announced: usage?.announced ?? false,
    phase: 'opening',
    owed: true,
  }
  state.sessions.set(session.mac, session)
  if (left > 0) return [{ kind: 'grant', grant: grantOf(session, now) }]
  return close(session, 'expired')
}

function save(state: SessionState, now: number): readonly SessionEffect[] {
  if (state.sessions.size === 0 && !state.unsaved) return []
  state.unsaved = false
  state.told = false
  const usage: Record<string, KeptUsage> = {}
  for (const session of state.sessions.values())
    usage[session.id] = {
      left: secondsLeft(session, now),
      used: usedSeconds(session, now),
      up: session.bytesUp,
      down: session.bytesDown,
      announced: session.announced,
    }
  return [{ kind: 'keep-usage', usage }]
}
