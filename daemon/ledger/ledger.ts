/**
 * The ledger: who was in the shop, what was paid, and what belongs together.
 *
 *     journal -> decider -> visit.*, payment.linked -> journal -> projector -> tables -> { API, CLI, dashboard }
 */
import type { ClockState } from '../contract/event.ts'
import type { Clock } from '../contract/plugin.ts'
import type { TabledJournal } from '../journal/api.ts'
import type { Log } from '../log.ts'
import type { Ledger } from './api.ts'
import { Calendar } from './calendar.ts'
import { Decider } from './decider.ts'
import { Projector } from './projector.ts'
import { Queries } from './queries.ts'
import { Running } from './running.ts'
import { TradeView } from './trade.ts'
import type { VisitSettings } from './visits.machine.ts'

export interface LedgerOptions {
  journal: TabledJournal
  clock: Clock
  clockState: () => ClockState
  /** IANA name; the system's own when undefined. */
  timeZone?: string | undefined
  settings: VisitSettings
  /** How long rows are kept, ms. */
  keepMs: () => number
  log: Log
  /** For tests: events folded at a time. */
  batch?: number
}

export interface RunningLedger extends Ledger {
  start(): Promise<void>
  configure(settings: VisitSettings): void
  /** Nothing is left to decide or to write. */
  readonly idle: boolean
  stop(): Promise<void>
}

/** A question waits so long for what was just journaled; while the tables are made anew, it is answered from what is there. */
const SETTLE_MS = 2_000

export function createLedger(options: LedgerOptions): RunningLedger {
  const { journal, clock, clockState, log } = options
  const calendar = new Calendar(options.timeZone)
  const running = new Running(journal, clock, clockState)
  const view = new TradeView(clock, calendar)
  const projector = new Projector({
    journal,
    clock,
    calendar,
    keepMs: options.keepMs,
    forgotten: (visitors, before) => {
      decider.forget(visitors, before).catch((error: unknown) => log.warn({ error: String(error) }, 'old visitors could not be forgotten'))
    },
    changed: (changes) => view.changed(changes),
    log,
    ...(options.batch === undefined ? {} : { batch: options.batch }),
  })
  const queries = new Queries(() => projector.tables, calendar)
  const decider = new Decider({
    journal,
    clock,
    clockState,
    calendar,
    settings: options.settings,
    older: {
      payment: async (payment, upTo) => {
        await projector.reach(upTo)
        return queries.older(payment)
      },
      linkedTo: async (visitor, upTo) => {
        await projector.reach(upTo)
        return queries.linkedTo(visitor)
      },
    },
    decided: (upTo) => projector.decided(upTo),
    log,
  })
  const settled = async (): Promise<void> => {
    const waited = new AbortController()
    const all = async () => {
      // What comes of the events there are now lies behind them.
      await projector.reach(journal.head)
      await projector.reach(journal.head)
    }
    await Promise.race([all(), clock.sleep(SETTLE_MS, waited.signal).catch(() => undefined)])
    waited.abort()
  }

  return {
    async start() {
      await running.start()
      await projector.start()
      await view.load(projector.tables)
      await decider.start()
    },
    configure: (settings) => decider.configure(settings),
    async stop() {
      // The decider may wait for the projector, never the other way round.
      const deciding = decider.stop()
      await projector.stop()
      await deciding
      await running.stop()
    },
    async visits(query) {
      await settled()
      return queries.visits(query)
    },
    async payments(query) {
      await settled()
      return queries.payments(query)
    },
    async stats(query) {
      await settled()
      return queries.stats(query, calendar.day(clock.wall()))
    },
    timeZone: calendar.timeZone,
    trade: () => view.trade(),
    chart: () => view.chart(running.runs()),
    get idle() {
      return decider.idle && projector.position >= projector.limit
    },
    get position() {
      return projector.position
    },
  }
}
