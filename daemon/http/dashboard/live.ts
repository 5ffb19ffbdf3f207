/** One event stream while the page is seen. Hidden pages close theirs: a browser allows six connections to a host. */
import { applyMessage, type View } from './view.ts'

type Update = (change: (view: View) => Partial<View>) => void

const STALE_MS = 25_000
const HIDDEN_MS = 60_000
const RETRY_MS = 5_000
const MESSAGES = ['snapshot', 'event', 'change', 'found', 'vitals', 'skipped', 'ping'] as const

export function openLive(update: Update): void {
  let source: EventSource | undefined
  let heardAt = performance.now()
  /** Gateway's clock minus this browser's monotonic one. */
  let offset = 0
  let hiddenSince: number | undefined
  let retry: ReturnType<typeof setTimeout> | undefined

  update((view) => {
    offset = view.now - performance.now()
    return { connection: 'connecting' }
  })

  const hear = (name: string, text: string) => {
    const data = JSON.parse(text) as unknown
    heardAt = performance.now()
    const at = (data as { at?: unknown } | null)?.at
    if (typeof at === 'string') offset = Date.parse(at) - heardAt
    const now = heardAt + offset
    update((view) => {
      const skipped = name === 'skipped' ? view.skipped + (data as { count: number }).count : view.skipped
      return { snapshot: applyMessage(view.snapshot, name, data), skipped, connection: 'live', now, heard: now }
    })
  }

  const open = () => {
    clearTimeout(retry)
    source?.close()
    source = new EventSource('/api/v1/stream?digest=true')
    for (const name of MESSAGES) source.addEventListener(name, (message) => hear(name, String((message as MessageEvent).data)))
    source.addEventListener('error', () => {
      // The browser tries again by itself unless the answer was an error: then it is for us to do.
      if (source?.readyState === EventSource.CLOSED) retry = setTimeout(() => void reopen(), RETRY_MS)
    })
  }

  const reopen = async () => {
    const answer = await fetch('/api/v1/links').catch(() => undefined)
    if (answer?.status === 401) location.assign('/login')
    else open()
  }

  document.addEventListener('visibilitychange', () => {
    if (document.hidden) {
      hiddenSince = performance.now()
      return
    }
    hiddenSince = undefined
    if (source === undefined) open()
  })

  setInterval(() => {
    const mono = performance.now()
    if (hiddenSince !== undefined && mono - hiddenSince > HIDDEN_MS) {
      source?.close()
      source = undefined
    }
    // A computer that slept, or a connection that died without a word, is told by silence alone.
    const silent = mono - heardAt > STALE_MS
    update(() => ({ now: mono + offset, ...(silent ? { connection: 'stale' as const } : {}) }))
    if (silent && mono - heardAt > 2 * STALE_MS && source?.readyState === EventSource.OPEN) {
      heardAt = mono - STALE_MS
      open()
    }
  }, 1_000)

  open()
}
