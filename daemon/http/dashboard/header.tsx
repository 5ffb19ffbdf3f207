import { attention } from './attention.ts'
import { Icon } from './icons.tsx'
import type { View } from './view.ts'

/** The verdict, whose it is, and how fresh it is. */
export function Header({ view }: { view: View }) {
  const { words, snapshot, now, connection } = view
  const { gateway } = snapshot
  const items = attention(snapshot, words, now)
  const nothing = snapshot.plugins.length === 0 && snapshot.devices.length === 0 && items.length === 0
  const tone = connection === 'stale' ? 'wait' : items.length > 0 ? 'bad' : nothing ? 'idle' : 'good'
  const verdict = items.length > 0 ? words.count('verdict', items.length) : words.say(nothing ? 'verdict.none' : 'verdict.ok')
  const other = words.lang === 'zh' ? 'en' : 'zh'
  const query = new URLSearchParams({ lang: other, ...(view.filter === '' ? {} : { type: view.filter }) })
  return (
    <header class={`verdict ${tone}`}>
      <a class="skip" href="#devices">
        {words.say('skip')}
      </a>
      <div class="verdict-main" role="status">
        <Icon tone={tone} />
        <h1>{verdict}</h1>
      </div>
      <p class="whose">
        <strong>{words.say('shop', { shop: gateway.store || gateway.id })}</strong>
        {gateway.store !== '' && <span>{gateway.id}</span>}
        <span>v{gateway.version}</span>
        {gateway.demo && <span class="badge">{words.say('demo')}</span>}
      </p>
      <p class="fresh">
        <span class="clock">{words.clock(now)}</span>
        <span>{freshness(view)}</span>
      </p>
      <nav class="tools">
        <a class="tool" href={`/?${query}`} lang={other === 'zh' ? 'zh-CN' : 'en'} hreflang={other}>
          {words.say('lang.other')}
        </a>
        {view.canLogOut && (
          <form method="post" action="/logout">
            <button class="tool" type="submit">
              {words.say('logout')}
            </button>
          </form>
        )}
      </nav>
    </header>
  )
}

function freshness({ words, connection, heard, now }: View): string {
  switch (connection) {
    case 'page':
      return words.say('live.page', { time: words.clock(heard) })
    case 'connecting':
      return words.say('live.connecting')
    case 'live':
      return words.say('live.live', { age: words.ago(new Date(heard).toISOString(), now) })
    case 'stale':
      return words.say('live.stale')
  }
}

/** Says that what is shown is old, and how old. */
export function StaleBanner({ view }: { view: View }) {
  const { words, connection, heard, now } = view
  return (
    <div role="alert">
      {connection === 'stale' && (
        <p class="banner">{words.say('stale.banner', { time: words.clock(heard), age: words.span(now - heard) })}</p>
      )}
    </div>
  )
}
