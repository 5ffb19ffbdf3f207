import { AttentionList } from './attention-list.tsx'
import { DayChart } from './day-chart.tsx'
import { Feed } from './feed.tsx'
import { Header, StaleBanner } from './header.tsx'
import { Devices, FoundThings, Links, Plugins } from './lists.tsx'
import { Numbers } from './numbers.tsx'
import type { Actions, View } from './view.ts'

/** The whole page from one view. Has no state of its own: server and browser draw the same. */
export function App({ view, actions }: { view: View; actions?: Actions | undefined }) {
  const { words, snapshot } = view
  const { head, tail, freeBytes } = snapshot.journal
  return (
    <div class={view.connection === 'stale' ? 'page is-stale' : 'page'}>
      <Header view={view} />
      <StaleBanner view={view} />
      <noscript>
        <p class="banner">{words.say('noscript')}</p>
      </noscript>
      <main>
        <AttentionList view={view} actions={actions} />
        <Numbers view={view} />
        <DayChart view={view} />
        <div class="columns">
          <div class="column">
            <Devices view={view} />
            <FoundThings view={view} actions={actions} />
          </div>
          <div class="column">
            <Feed view={view} actions={actions} />
          </div>
          <div class="column">
            <Links view={view} />
            <Plugins view={view} />
          </div>
        </div>
      </main>
      <footer>
        <span class="muted">{words.say('footer.kept', { n: Math.max(0, head - tail + 1), size: words.bytes(freeBytes) })}</span>
        <a href="/docs">{words.say('footer.api')}</a>
        <a href="/metrics">{words.say('footer.metrics')}</a>
      </footer>
    </div>
  )
}
