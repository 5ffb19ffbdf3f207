import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { JsonSchema } from '../../contract/json.ts'
import type { DayStats, LedgerPage, PaymentQuery, PaymentRow, StatsAnswer, VisitQuery, VisitRow } from '../../ledger/api.ts'
import { BOM, CSV_TYPE, csvLine, csvOf } from '../csv.ts'
import type { RouteParts } from '../parts.ts'
import { failures, listOf, objectOf, paymentRow, statsAnswer, visitRow } from './schemas.ts'

const instant: JsonSchema = { type: 'string', maxLength: 40, description: 'RFC 3339' }
const day: JsonSchema = { type: 'string', maxLength: 10, description: 'A day of the shop, 2026-11-22' }
const word: JsonSchema = { type: 'string', minLength: 1, maxLength: 256 }
const format: JsonSchema = { enum: ['json', 'csv'], description: '`csv` (also by `Accept: text/csv`): all rows, without paging' }
const paging = {
  from: { ...instant, description: 'RFC 3339; this moment and later' },
  to: { ...instant, description: 'RFC 3339; before this moment' },
  day,
  limit: { type: 'integer', minimum: 1, maximum: 1000, default: 100 },
  after: { type: 'string', maxLength: 600, description: 'The `next` of the page before' },
  format,
}
const pageOf = (row: JsonSchema): JsonSchema =>
  objectOf(
    { rows: listOf(row), next: { type: 'string', description: 'The `after` of the next page; absent at the end' } },
    { required: ['rows'] },
  )

const VISIT_COLUMNS = ['visit', 'visitor', 'role', 'by', 'day', 'arrived', 'departed', 'dwellSeconds', 'first', 'sleepingDays'] as const
const PAYMENT_COLUMNS = [
  'payment',
  'state',
  'day',
  'at',
  'order',
  'till',
  'channel',
  'currency',
  'amount',
  'refunded',
  'firstPayment',
  'receipt',
  'method',
  'confidence',
  'candidates',
  'visit',
  'visitor',
] as const

type Formatted<Query> = Query & { format?: 'json' | 'csv' }

const wantsCsv = (request: FastifyRequest, format: string | undefined): boolean =>
  format === undefined ? /^text\/csv\b/.test(request.headers.accept ?? '') : format === 'csv'

/** `GET /api/v1/visits|payments|stats`: what the ledger makes of the journal. Newest first. */
export function tradeRoutes(app: FastifyInstance, { options: { ledger } }: RouteParts): void {
  const tags = ['trade']
  const produces = ['application/json', 'text/csv']

  app.get<{ Querystring: Formatted<VisitQuery> }>(
    '/api/v1/visits',
    {
      schema: {
        tags,
        produces,
        summary: 'Who was here',
        querystring: objectOf({ ...paging, visitor: word, role: { enum: ['guest', 'member', 'staff'] } }, { additionalProperties: false }),
        response: { 200: pageOf(visitRow), ...failures },
      },
    },
    async (request, reply) => {
      const { format, ...query } = request.query
      if (!wantsCsv(request, format)) return ledger.visits(query)
      return sendPages<VisitRow>(reply, 'visits', VISIT_COLUMNS, (page) => ledger.visits({ ...query, ...page }))
    },
  )

  app.get<{ Querystring: Formatted<PaymentQuery> }>(
    '/api/v1/payments',
    {
      schema: {
        tags,
        produces,
        summary: 'What was paid, and what it belongs to',
        querystring: objectOf(
          {
            ...paging,
            till: word,
            channel: word,
            currency: word,
            state: { enum: ['opened', 'paid', 'failed', 'unknown', 'reversed', 'refunded', 'part-refunded'] },
            method: { enum: ['payer_identity', 'portal_order', 'member_code', 'claim_code', 'single_candidate'] },
          },
          { additionalProperties: false },
        ),
        response: { 200: pageOf(paymentRow), ...failures },
      },
    },
    async (request, reply) => {
      const { format, ...query } = request.query
      if (!wantsCsv(request, format)) return ledger.payments(query)
      return sendPages<PaymentRow>(reply, 'payments', PAYMENT_COLUMNS, (page) => ledger.payments({ ...query, ...page }))
    },
  )

  app.get<{ Querystring: { from?: string; to?: string; format?: 'json' | 'csv' } }>(
    '/api/v1/stats',
    {
      schema: {
        tags,
        produces,
        summary: 'Visits, payments and links by day',
        querystring: objectOf(
          {
            from: { ...day, description: 'First day; six days before `to` when absent' },
            to: { ...day, description: 'Last day; today when absent' },
            format,
          },
          { additionalProperties: false },
        ),
        response: { 200: statsAnswer, ...failures },
      },
    },
    async (request, reply) => {
      const { format, ...query } = request.query
      const answer = await ledger.stats(query)
      return wantsCsv(request, format) ? sendCsv(reply, 'stats', [statsCsv(answer)]) : answer
    },
  )
}

const PAGE = 1_000

/** All pages as one table. The first is asked for before anything is sent: a question that is wrong is answered as such. */
async function sendPages<Row>(
  reply: FastifyReply,
  name: string,
  columns: readonly (keyof Row & string)[],
  ask: (page: { limit: number; after?: string }) => Promise<LedgerPage<Row>>,
): Promise<FastifyReply> {
  const first = await ask({ limit: PAGE })
  const rest = csvOf<Row>(columns, async (after) => (after === undefined ? first : ask({ limit: PAGE, after })))
  return sendCsv(reply, name, rest)
}

function sendCsv(reply: FastifyReply, name: string, lines: Iterable<string> | AsyncIterable<string>): FastifyReply {
  return reply
    .type(CSV_TYPE)
    .header('content-disposition', `attachment; filename="${name}.csv"`)
    .send(Readable.from(lines, { objectMode: false }))
}

const STATS_COLUMNS = [
  'day',
  'visits',
  'first',
  'returning',
  'sleeping',
  'staff',
  'dwellMedianSeconds',
  'payments',
  'firstPayments',
  'linked',
  'linkedShare',
  'inferred',
  'redeemed',
  'currency',
  'channel',
  'count',
  'sum',
  'average',
  'refunds',
  'refunded',
]

/** One line a day and kind of money; a day without any has one line. */
function statsCsv({ days }: StatsAnswer): string {
  const lines = days.flatMap((one: DayStats) => {
    const { visits, payments, linked } = one
    const redeemed = Object.values(one.redeemed).reduce((sum, count) => sum + count, 0)
    const start = [
      one.day,
      visits.count,
      visits.first,
      visits.returning,
      visits.sleeping,
      visits.staff,
      visits.dwellMedianSeconds,
      payments.count,
      payments.first,
      linked.count,
      linked.share,
      linked.inferred,
      redeemed,
    ]
    if (payments.byChannel.length === 0) return [csvLine([...start, '', '', 0, 0, 0, 0, 0])]
    return payments.byChannel.map((money) =>
      csvLine([...start, money.currency, money.channel, money.count, money.sum, money.average, money.refunds, money.refunded]),
    )
  })
  return BOM + csvLine(STATS_COLUMNS) + lines.join('')
}
