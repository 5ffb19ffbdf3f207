import { attention, type Item } from './attention.ts'
import { Icon } from './icons.tsx'
import type { Actions, View } from './view.ts'

export function AttentionList({ view, actions }: { view: View; actions?: Actions | undefined }) {
  const { words, snapshot, now } = view
  const items = attention(snapshot, words, now)
  if (items.length === 0) return null
  return (
    <section class="attention" aria-labelledby="attention">
      <h2 id="attention">{words.say('attention')}</h2>
      <ul>
        {items.map((item) => (
          <li key={item.about}>
            <Icon tone="bad" />
            <div>
              <p class="what">
                <strong>{item.what}</strong>
                {item.since !== undefined && (
                  <time class="muted" dateTime={item.since}>
                    {words.say('since', { time: words.time(item.since, now) })}
                  </time>
                )}
              </p>
              {item.why !== undefined && <p class="muted wrap">{item.why}</p>}
              {item.fix !== undefined && (
                <p class="muted">
                  {words.say('fix')} {item.fix}
                </p>
              )}
            </div>
            <Action item={item} view={view} actions={actions} />
          </li>
        ))}
      </ul>
    </section>
  )
}

function Action({ item: { action }, view, actions }: { item: Item; view: View; actions: Actions | undefined }) {
  const { words, restarts } = view
  if (action === undefined) return null
  if (action.kind === 'show')
    return (
      <a class="button" href={action.href}>
        {action.label}
      </a>
    )
  // Without a script there is no button that could do it: the line above tells what to do.
  if (actions === undefined) return null
  const state = restarts[action.plugin]
  const failed = typeof state === 'object' ? state.failed : undefined
  return (
    <span class="with-outcome">
      <button class="button" type="button" disabled={state === 'running'} onClick={() => actions.restart(action.plugin)}>
        {words.say(state === 'running' ? 'action.restarting' : 'action.restart')}
      </button>
      <span role="status">{failed !== undefined && words.say('action.failed', { why: failed })}</span>
    </span>
  )
}
