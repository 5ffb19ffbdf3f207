/** The browser's side: takes over the server's page and keeps it up to date from one event stream. */
import { signal } from '@preact/signals'
import { hydrate } from 'preact'
import type { Snapshot } from '../api.ts'
import { createActions } from './actions.ts'
import { App } from './app.tsx'
import { openLive } from './live.ts'
import { firstView, type View } from './view.ts'
import type { Lang } from './words.ts'

interface Start {
  snapshot: Snapshot
  lang: Lang
  filter: string
  canLogOut: boolean
}

const root = document.getElementById('app')
const start = document.getElementById('start')
if (root && start) {
  const given = JSON.parse(start.textContent ?? '') as Start
  const view = signal<View>(firstView(given.snapshot, given))
  const update = (change: (view: View) => Partial<View>) => {
    view.value = { ...view.value, ...change(view.value) }
  }
  const actions = createActions(() => view.value, update)
  // Hydration trusts the attributes that are there: the first drawing must be the server's own, without actions.
  const scripted = signal(false)
  const Root = () => <App view={view.value} actions={scripted.value ? actions : undefined} />
  hydrate(<Root />, root)
  scripted.value = true
  openLive(update)
}
