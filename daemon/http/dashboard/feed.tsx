import { type Actions, feedOf, summaryOf, typesOf, type View } from './view.ts'

/** The newest events; can be paused, and its filter is in the address. */
export function Feed({ view, actions }: { view: View; actions?: Actions | undefined }) {
  const { words, snapshot, filter, now, pausedAt, skipped } = view
  const { shown, newer } = feedOf(view)
  const paused = pausedAt !== undefined
  return (
    <section class="card feed" aria-labelledby="feed">
      <div class="feed-head">
        <h2 id="feed">{words.say('feed')}</h2>
        <form method="get" action="/">
          <input type="hidden" name="lang" value={words.lang} />
          <label>
            <span class="label">{words.say('feed.filter')}</span>
            <select name="type" value={filter} onChange={(event) => actions?.filter(event.currentTarget.value)}>
              <option value="" selected={filter === ''}>
                {words.say('feed.all')}
              </option>
              {typesOf(snapshot, filter).map((type) => (
                <option key={type} value={type} selected={filter === type}>
                  {words.type(type, snapshot.labels)}
                </option>
              ))}
            </select>
          </label>
          {actions ? (
            <button class="button" type="button" aria-pressed={paused} onClick={() => actions.pause(!paused)}>
              {!paused ? words.say('feed.pause') : newer > 0 ? words.say('feed.resume.new', { n: newer }) : words.say('feed.resume')}
            </button>
          ) : (
            <button class="button" type="submit">
              {words.say('feed.apply')}
            </button>
          )}
        </form>
      </div>
      {shown.length === 0 && <p class="empty">{words.say(filter === '' ? 'feed.empty' : 'feed.empty.filter')}</p>}
      <ol class="events" reversed>
        {shown.map((event) => (
          <li key={event.sequence}>
            <time class="muted" dateTime={event.time}>
              {words.second(event.time, now)}
            </time>
            <span class="kind">{words.type(event.type, snapshot.labels)}</span>
            <span class="where muted">{where(event.source)}</span>
            <span class="summary wrap">{summaryOf(event, words)}</span>
          </li>
        ))}
      </ol>
      {skipped > 0 && <p class="muted">{words.say('feed.skipped', { n: skipped })}</p>}
    </section>
  )
}

/** `/shop-001/scanner/till-1` -> `till-1`. */
function where(source: string): string {
  const [, , plugin = '', device = '-'] = source.split('/')
  return device === '-' ? plugin : device
}
