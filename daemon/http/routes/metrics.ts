import { performance } from 'node:perf_hooks'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import type { HttpOptions } from '../api.ts'
import { Exposition } from '../exposition.ts'
import type { RouteParts } from '../parts.ts'
import type { StreamHub } from '../stream-hub.ts'
import type { Tally } from '../tally.ts'

/** `GET /metrics`. Everything is measured when asked for: nothing ticks in between. */
export function metricsRoute(app: FastifyInstance, { options, tally, hub }: RouteParts): void {
  let lastUse = performance.eventLoopUtilization()
  app.get(
    '/metrics',
    { schema: { tags: ['observe'], summary: 'Figures for Prometheus, text format 0.0.4', produces: ['text/plain'] } },
    async (_request, reply) => {
      const begun = performance.now()
      await nextTurn()
      const lag = (performance.now() - begun) / 1_000
      const use = performance.eventLoopUtilization()
      const busy = performance.eventLoopUtilization(use, lastUse).utilization
      lastUse = use
      reply.type('text/plain; version=0.0.4; charset=utf-8')
      return write(options, tally, hub, lag, busy)
    },
  )
}

function write(options: HttpOptions, tally: Tally, hub: StreamHub, lag: number, busy: number): string {
  const { shop, clock } = options
  const out = new Exposition()
  const { id, store, version } = options.gateway()
  out.add('shopwire_info', 'gauge', 'The gateway; always 1.', [
    { labels: { gateway: id, store, version, node: process.version }, value: 1 },
  ])
  out.add('shopwire_healthy', 'gauge', '1 while the journal and every plugin progress.', Number(options.health().ok))
  out.add(
    'shopwire_events_total',
    'counter',
    'Events journaled since the start, by type.',
    [...tally.totals()].map(([type, value]) => ({ labels: { type }, value })),
  )

  const journal = options.journal.stats()
  out.add('shopwire_journal_head', 'gauge', 'Last durable sequence.', journal.head)
  out.add('shopwire_journal_tail', 'gauge', 'Oldest sequence kept.', journal.tail)
  out.add('shopwire_journal_bytes', 'gauge', 'Size of the journal on disk.', journal.bytes)
  out.add('shopwire_journal_free_bytes', 'gauge', 'Free space where the journal lies.', journal.freeBytes)
  out.add('shopwire_journal_dropped_total', 'counter', 'Bulk events dropped unacknowledged, in this epoch.', journal.dropped)
  out.add('shopwire_journal_commits_total', 'counter', 'Durable writes since the start.', journal.commits)
  out.add('shopwire_journal_pending', 'gauge', 'Commits that wait for the disk.', journal.pending)
  out.add('shopwire_journal_fault', 'gauge', '1 while commits fail.', Number(journal.fault !== undefined))
  out.add(
    'shopwire_journal_last_commit_age_seconds',
    'gauge',
    'Since the last durable write.',
    Math.max(0, clock.mono() - journal.lastCommitMono) / 1_000,
  )

  const links = shop.links()
  out.add(
    'shopwire_link_up',
    'gauge',
    '1 while the link is online.',
    links.map((one) => ({ labels: { link: one.name }, value: Number(one.state === 'online') })),
  )
  const queued = links.filter((one) => one.backlog !== undefined)
  out.add(
    'shopwire_link_backlog_events',
    'gauge',
    'Events not yet acknowledged by HQ.',
    queued.map((one) => ({ labels: { link: one.name }, value: one.backlog ?? 0 })),
  )
  out.add(
    'shopwire_link_backlog_oldest_seconds',
    'gauge',
    'Age of the oldest of them.',
    queued.map((one) => ({
      labels: { link: one.name },
      value: one.oldest === undefined ? 0 : Math.max(0, clock.wall() - Date.parse(one.oldest)) / 1_000,
    })),
  )
  out.add(
    'shopwire_plugin_up',
    'gauge',
    '1 while the plugin runs.',
    shop.plugins().map((one) => ({ labels: { plugin: one.name, version: one.version }, value: Number(one.status === 'running') })),
  )
  out.add(
    'shopwire_plugin_restarts_total',
    'counter',
    'Restarts after a crash.',
    shop.plugins().map((one) => ({ labels: { plugin: one.name }, value: one.restarts })),
  )
  out.add(
    'shopwire_device_up',
    'gauge',
    '1 while the device is online.',
    shop.devices().map((one) => ({ labels: { plugin: one.plugin, device: one.device }, value: Number(one.state === 'online') })),
  )
  out.add('shopwire_streams', 'gauge', 'Open event streams.', hub.size)

  const memory = process.memoryUsage()
  const cpu = process.cpuUsage()
  out.add('process_resident_memory_bytes', 'gauge', 'Resident memory of the daemon, without its plugins.', memory.rss)
  out.add('nodejs_heap_used_bytes', 'gauge', 'Used heap.', memory.heapUsed)
  out.add('nodejs_external_memory_bytes', 'gauge', 'Buffers and other memory outside the heap.', memory.external)
  out.add('process_cpu_seconds_total', 'counter', 'User and system time.', (cpu.user + cpu.system) / 1e6)
  out.add('process_uptime_seconds', 'gauge', 'Since the start.', Math.round(process.uptime()))
  out.add('nodejs_eventloop_lag_seconds', 'gauge', 'How long one turn of the event loop took while this was made.', lag)
  out.add('nodejs_eventloop_utilization_ratio', 'gauge', 'Share of busy time since the last look.', busy)
  if (options.metrics) out.addAll(options.metrics())
  return out.text()
}
