import type { CloudEvent } from '../contract/event.ts'
import { DaemonClient, socketOf } from './client.ts'
import { type CliCommand, type Io, paint, parse, UsageError } from './io.ts'

interface Page {
  events: CloudEvent[]
  next?: number
}

/** `shopwire events`: reads the journal, the last 20 unless told where to start. */
export const events: CliCommand = async (args, io) => {
  const { values } = parse({
    args,
    options: {
      config: { type: 'string' },
      json: { type: 'boolean' },
      follow: { type: 'boolean', short: 'f' },
      type: { type: 'string' },
      since: { type: 'string' },
    },
  })
  const client = new DaemonClient(socketOf(values.config, io))
  const show = (event: CloudEvent) => io.out(values.json ? JSON.stringify(event) : line(event, io))
  const { journal } = await client.get<{ journal: { head: number } }>('/api/v1/status')
  let since = values.since === undefined ? Math.max(0, journal.head - 20) : Number(values.since)
  if (!Number.isSafeInteger(since) || since < 0)
    throw new UsageError(`--since: must be a sequence, a whole number from 0 on; got ${values.since}`)
  const type = values.type === undefined ? '' : `&type=${encodeURIComponent(values.type)}`
  const wanted = (event: CloudEvent) => values.type === undefined || matches(event.type, values.type)

  const catchUp = async () => {
    for (;;) {
      const page = await client.get<Page>(`/api/v1/events?since=${since}&limit=500${type}`)
      for (const event of page.events) show(event)
      const last = page.events.at(-1)
      const next = page.next ?? (last ? Number(last.sequence) : since)
      // A rare type in a long journal: a page may be empty and still not be the last.
      if (next <= since || (page.events.length === 0 && page.next === undefined)) return
      since = next
    }
  }
  await catchUp()
  if (!values.follow) return 0
  await client.stream(
    '/api/v1/stream',
    (name, data) => {
      if (name !== 'event') return
      const event = JSON.parse(data) as CloudEvent
      if (Number(event.sequence) <= since) return
      since = Number(event.sequence)
      if (wanted(event)) show(event)
    },
    io.signal,
  )
  return 0
}

function matches(type: string, pattern: string): boolean {
  const full = pattern.startsWith('shopwire.') ? pattern : `shopwire.${pattern}`
  return full.endsWith('*') ? type.startsWith(full.slice(0, -1)) : type === full
}

function line(event: CloudEvent, io: Io): string {
  const where = event.source.split('/').slice(2).join('/')
  const time = event.time.slice(0, 19).replace('T', ' ')
  const text = `${paint(io, 'gray', `${event.sequence.padStart(7)}  ${time}`)}  ${paint(io, 'bold', event.type.slice('shopwire.'.length))}  ${where}  ${JSON.stringify(event.data)}`
  return text
}
