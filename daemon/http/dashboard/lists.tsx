import type { LinkView, PluginView } from '../../shop.ts'
import { anchor } from './attention.ts'
import { State, type Tone } from './icons.tsx'
import type { Actions, View } from './view.ts'
import type { Words } from './words.ts'

export function Devices({ view }: { view: View }) {
  const { words, snapshot, now } = view
  return (
    <section class="card" aria-labelledby="devices">
      <h2 id="devices" tabIndex={-1}>
        {words.say('devices')}
      </h2>
      {snapshot.devices.length === 0 && <p class="empty">{words.say('devices.empty')}</p>}
      <ul class="rows">
        {snapshot.devices.map((one) => (
          <li key={`${one.plugin}/${one.device}`} id={anchor(one.plugin, one.device)}>
            <p class="name">
              {one.device === '-' ? one.plugin : one.device} <span class="muted">{one.device === '-' ? '' : one.plugin}</span>
            </p>
            <State tone={one.state === 'online' ? 'good' : 'bad'} word={words.say(`state.${one.state}`)} />
            <p class="facts">
              {one.detail !== undefined && `${words.detail(one.detail)} · `}
              {words.say('state.for', { age: span(words, one.since, now) })}
            </p>
            <p class="facts">
              {one.lastEvent === undefined ? words.say('device.silent') : words.say('device.last', { age: words.ago(one.lastEvent, now) })}
            </p>
          </li>
        ))}
      </ul>
    </section>
  )
}

const LINK_TONES: Record<LinkView['state'], Tone> = { online: 'good', connecting: 'wait', offline: 'bad', off: 'idle' }

export function Links({ view }: { view: View }) {
  const { words, snapshot, now } = view
  return (
    <section class="card" aria-labelledby="links">
      <h2 id="links" tabIndex={-1}>
        {words.say('links')}
      </h2>
      <ul class="rows">
        {snapshot.links.map((one) => (
          <li key={one.name}>
            <p class="name">{words.say(`link.${one.name}`)}</p>
            <State tone={LINK_TONES[one.state]} word={words.say(`link.${one.state}`)} />
            <p class="facts">{words.say('state.for', { age: span(words, one.since, now) })}</p>
            {one.backlog !== undefined && one.state !== 'off' && (
              <p class="facts">
                {one.backlog === 0 ? words.say('link.backlog.none') : words.say('link.backlog', { n: one.backlog })}
                {one.backlog > 0 && one.oldest !== undefined && ` · ${words.say('link.oldest', { time: words.time(one.oldest, now) })}`}
              </p>
            )}
            <p class="facts">{one.detail}</p>
          </li>
        ))}
      </ul>
    </section>
  )
}

const PLUGIN_TONES: Record<PluginView['status'], Tone> = {
  running: 'good',
  starting: 'wait',
  backoff: 'bad',
  quarantined: 'bad',
  stopped: 'bad',
}

export function Plugins({ view }: { view: View }) {
  const { words, snapshot, now } = view
  return (
    <section class="card" aria-labelledby="plugins">
      <h2 id="plugins">{words.say('plugins')}</h2>
      {snapshot.plugins.length === 0 && <p class="empty">{words.say('plugins.empty')}</p>}
      <ul class="rows">
        {snapshot.plugins.map((one) => (
          <li key={one.name}>
            <p class="name">
              {one.name} <span class="muted">{one.version}</span>
            </p>
            <State tone={PLUGIN_TONES[one.status]} word={words.say(`plugin.${one.status}`)} />
            <p class="facts">
              {words.say('state.for', { age: span(words, one.since, now) })}
              {one.restarts > 0 && ` · ${words.count('plugin.restarts', one.restarts)}`}
            </p>
            {one.reason !== undefined && <p class="facts">{one.reason}</p>}
          </li>
        ))}
      </ul>
    </section>
  )
}

/** What is plugged in or announced and nobody uses yet. */
export function FoundThings({ view, actions }: { view: View; actions?: Actions | undefined }) {
  const { words, snapshot, copied } = view
  const free = snapshot.found.filter((one) => one.configuredAs === undefined)
  if (free.length === 0) return null
  return (
    <section class="card" aria-labelledby="found">
      <h2 id="found">{words.say('found')}</h2>
      <ul class="rows">
        {free.map((one) => (
          <li key={one.id} class="stack">
            <div>
              <p class="name">{one.label}</p>
              <p class="muted wrap">{one.port}</p>
              <p class="muted">
                {one.plugin === undefined ? words.say('found.unknown') : words.say('found.plugin', { plugin: one.plugin })}
              </p>
            </div>
            {one.snippet !== undefined && (
              <details>
                <summary>
                  <span>{words.say('found.snippet')}</span>
                </summary>
                <pre id={`snippet-${one.id}`}>{one.snippet}</pre>
                {actions && (
                  <span class="with-outcome">
                    <button class="button" type="button" onClick={() => actions.copy(one.id, one.snippet ?? '')}>
                      {words.say('found.copy')}
                    </button>
                    <span role="status">{copied?.id === one.id && words.say(copied.ok ? 'found.copied' : 'found.uncopied')}</span>
                  </span>
                )}
              </details>
            )}
          </li>
        ))}
      </ul>
    </section>
  )
}

function span(words: Words, since: string, now: number): string {
  const at = Date.parse(since)
  return at > 1e12 ? words.span(now - at) : words.say('feed.unsynced')
}
