import { headlines, type View } from './view.ts'

interface Tile {
  key: string
  label: string
  value: string
  sub: string
  bad?: boolean
}

/** Four numbers: who came and what was paid, where the shop can tell, or what else counts most in it; devices; what waits. */
export function Numbers({ view }: { view: View }) {
  const { words } = view
  const trade = [...arrivals(view), ...payments(view)]
  const tiles = [...trade, devices(view), waiting(view), ...today(view, 2 - trade.length)]
  return (
    <section class="numbers" aria-label={words.say('numbers')}>
      {tiles.map((tile) => (
        <div class={tile.bad ? 'tile bad' : 'tile'} key={tile.key}>
          <p class="label">{tile.label}</p>
          <p class="value">{tile.value}</p>
          <p class="muted">{tile.sub}</p>
        </div>
      ))}
    </section>
  )
}

function arrivals({ snapshot, words, now }: View): Tile[] {
  const { trade, expects } = snapshot
  const last = trade.lastArrival
  if (!expects.arrivals && last === undefined) return []
  const sub =
    trade.arrivals > 0 && last !== undefined
      ? words.say('number.last', { age: words.ago(last, now) })
      : last === undefined
        ? words.say('number.arrivals.none')
        : words.say('number.arrivals.last', { time: words.time(last, now) })
  return [{ key: 'arrivals', label: words.say('number.arrivals'), value: words.number(trade.arrivals), sub }]
}

function payments({ snapshot, words, now }: View): Tile[] {
  const { count, linked, sums, last } = snapshot.trade.payments
  if (!snapshot.expects.payments && last === undefined) return []
  const sub =
    count > 0
      ? words.say('number.payments.sub', {
          sum: sums.map((one) => words.money(one.sum, one.currency)).join(' + '),
          share: words.percent(linked / count),
        })
      : last === undefined
        ? words.say('number.payments.none')
        : words.say('number.payments.last', { time: words.time(last, now) })
  return [{ key: 'payments', label: words.say('number.payments'), value: words.number(count), sub }]
}

function devices({ snapshot, words }: View): Tile {
  const all = snapshot.devices
  const away = all.filter((one) => one.state !== 'online')
  const names = away.map((one) => (one.device === '-' ? one.plugin : one.device)).join(', ')
  return {
    key: 'devices',
    label: words.say('number.devices'),
    value: all.length === 0 ? '–' : `${words.number(all.length - away.length)}/${words.number(all.length)}`,
    sub:
      all.length === 0
        ? words.say('number.devices.none')
        : away.length === 0
          ? words.say('number.devices.all')
          : words.say('number.devices.some', { names }),
    bad: away.length > 0,
  }
}

function waiting({ snapshot, words, now }: View): Tile {
  const hq = snapshot.links.find((one) => one.name === 'hq')
  if (!hq || hq.state === 'off') {
    const { head, tail } = snapshot.journal
    return {
      key: 'kept',
      label: words.say('number.kept'),
      value: words.number(Math.max(0, head - tail + 1)),
      sub: words.say('number.kept.sub'),
    }
  }
  const backlog = hq.backlog ?? 0
  const sub =
    backlog === 0
      ? words.say('number.waiting.none')
      : hq.oldest !== undefined
        ? words.say('number.waiting.oldest', { age: words.ago(hq.oldest, now) })
        : words.say('number.waiting.some')
  return {
    key: 'waiting',
    label: words.say('number.waiting'),
    value: words.number(backlog),
    sub,
    bad: backlog > 0 && hq.state !== 'online',
  }
}

/** As many more as there is room for. */
function today(view: View, room: number): Tile[] {
  const { snapshot, words } = view
  const { counts, complete } = snapshot.today
  const tiles: Tile[] = headlines(snapshot, room).map(({ type, count, last }) => ({
    key: type,
    label: words.say('number.today', { label: words.type(type, snapshot.labels) }),
    value: words.number(count),
    sub: lastSeen(view, last),
  }))
  if (tiles.length < room) {
    const last = snapshot.recent.at(-1)?.time
    tiles.push({
      key: 'events',
      label: words.say('number.events'),
      value: words.number(Object.values(counts).reduce((sum, one) => sum + one, 0)),
      sub: complete ? lastSeen(view, last) : words.say('number.counting'),
    })
  }
  if (tiles.length < room) {
    const running = snapshot.plugins.filter((one) => one.status === 'running').length
    tiles.push({
      key: 'plugins',
      label: words.say('plugins'),
      value: snapshot.plugins.length === 0 ? '–' : `${words.number(running)}/${words.number(snapshot.plugins.length)}`,
      sub: snapshot.plugins.length === 0 ? words.say('plugins.empty') : words.say('plugin.running'),
      bad: running < snapshot.plugins.length,
    })
  }
  return tiles
}

function lastSeen({ snapshot, words, now }: View, last: string | undefined): string {
  if (last === undefined) return words.say(snapshot.today.complete ? 'number.never' : 'number.counting')
  return words.today(last, now)
    ? words.say('number.last', { age: words.ago(last, now) })
    : words.say('number.last.before', { time: words.time(last, now) })
}
