/** What a person does on the page. */
import type { CloudEvent } from '../../contract/event.ts'
import { type Actions, merge, type View } from './view.ts'

type Update = (change: (view: View) => Partial<View>) => void

export function createActions(current: () => View, update: Update): Actions {
  return {
    pause(on) {
      update(({ snapshot }) => ({ pausedAt: on ? Number(snapshot.recent.at(-1)?.sequence ?? 0) : undefined }))
    },

    filter(type) {
      const address = new URL(location.href)
      if (type === '') address.searchParams.delete('type')
      else address.searchParams.set('type', type)
      history.replaceState(null, '', address)
      update(() => ({ filter: type }))
      void loadEarlier(type, update)
    },

    restart(plugin) {
      const outcome = (state: View['restarts'][string]) => update(({ restarts }) => ({ restarts: { ...restarts, [plugin]: state } }))
      outcome('running')
      void restart(plugin).then(
        () => outcome('done'),
        (error: unknown) => outcome({ failed: error instanceof Error ? error.message : String(error) }),
      )
    },

    copy(id, text) {
      void copyText(text, document.getElementById(`snippet-${id}`)).then((ok) => {
        if (current().snapshot.found.some((one) => one.id === id)) update(() => ({ copied: { id, ok } }))
      })
    },
  }
}

/** The filter looks into the journal, not only at what happened to be on the screen. */
async function loadEarlier(type: string, update: Update): Promise<void> {
  const answer = await fetch(`/api/v1/events?last=20${type === '' ? '' : `&type=${encodeURIComponent(type)}`}`).catch(() => undefined)
  if (!answer?.ok) return
  const { events, epoch } = (await answer.json()) as { events: CloudEvent[]; epoch: string }
  update(({ snapshot }) => (snapshot.journal.epoch === epoch ? { snapshot: { ...snapshot, recent: merge(snapshot.recent, events) } } : {}))
}

async function restart(plugin: string): Promise<void> {
  const answer = await fetch(`/api/v1/plugins/${encodeURIComponent(plugin)}/reload`, { method: 'POST' })
  if (answer.ok) return
  const body = (await answer.json().catch(() => undefined)) as { error?: { message?: string } } | undefined
  throw new Error(body?.error?.message ?? String(answer.status))
}

/** The clipboard interface is missing on plain http: then the text is selected and copied the old way. */
async function copyText(text: string, shown: HTMLElement | null): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    if (!shown) return false
    const range = document.createRange()
    range.selectNodeContents(shown)
    const selection = getSelection()
    selection?.removeAllRanges()
    selection?.addRange(range)
    return document.execCommand('copy')
  }
}
