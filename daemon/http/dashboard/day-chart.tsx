import { bars, chartFacts, gaps } from './day-steps.ts'
import type { View } from './view.ts'

const HEIGHT = 64
const LANE = 30

/** Arrivals above, payments below, in steps of five minutes; the same as a sentence and as a table. */
export function DayChart({ view }: { view: View }) {
  const { words, snapshot } = view
  const { chart, expects, trade } = snapshot
  if (!expects.arrivals && !expects.payments && trade.lastArrival === undefined && trade.payments.last === undefined) return null
  const facts = chartFacts(chart)
  const width = chart.arrivals.length
  const most = (steps: readonly (number | null)[]) => Math.max(1, ...steps.map((one) => one ?? 0))
  const start = Date.parse(chart.from)
  const marks = [0, 6, 12, 18].map((hours) => start + hours * 3_600_000)
  return (
    <section class="card chart" aria-labelledby="chart">
      <h2 id="chart">{words.say('chart')}</h2>
      <p class="chart-says">{said(view)}</p>
      <p class="chart-key muted" aria-hidden="true">
        <span class="key arrivals">{words.say('chart.arrivals')}</span>
        <span class="key payments">{words.say('chart.payments')}</span>
        {facts.unknown > 0 && <span class="key gap">{words.say('chart.nothing')}</span>}
      </p>
      <svg class="chart-bars" viewBox={`0 0 ${width} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true" focusable="false">
        <path class="gap" d={gaps(chart.arrivals, HEIGHT)} />
        <path class="base" d={`M0 ${LANE + 0.5}h${width}M0 ${HEIGHT - 0.5}h${width}`} />
        <path class="arrivals" d={bars(chart.arrivals, LANE, LANE - 2, most(chart.arrivals))} />
        <path class="payments" d={bars(chart.payments, HEIGHT - 1, LANE - 2, most(chart.payments))} />
      </svg>
      <p class="chart-axis muted" aria-hidden="true">
        {marks.map((at) => (
          <span key={at}>{words.minute(at)}</span>
        ))}
        <span>{words.minute(start + width * chart.stepSeconds * 1_000)}</span>
      </p>
      <details>
        <summary>{words.say('chart.table')}</summary>
        <table>
          <thead>
            <tr>
              <th scope="col">{words.say('chart.hour')}</th>
              <th scope="col">{words.say('chart.arrivals')}</th>
              <th scope="col">{words.say('chart.payments')}</th>
            </tr>
          </thead>
          <tbody>
            {facts.hours.map((hour) => (
              <tr key={hour.from}>
                <th scope="row">{words.time(new Date(hour.from).toISOString(), view.now)}</th>
                <td>{hour.arrivals === null ? words.say('chart.nothing') : words.number(hour.arrivals)}</td>
                <td>{hour.payments === null ? words.say('chart.nothing') : words.number(hour.payments)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </details>
    </section>
  )
}

function said({ words, snapshot }: View): string {
  const { arrivals, payments, busiest, unknown } = chartFacts(snapshot.chart)
  const sentences = [words.say('chart.sum', { arrivals, payments })]
  if (busiest !== undefined) {
    const { from, arrivals: n } = busiest
    sentences.push(words.say('chart.busiest', { from: words.minute(from), to: words.minute(from + 3_600_000), n }))
  }
  if (unknown > 0) sentences.push(words.say('chart.gaps', { span: words.span(unknown) }))
  return sentences.join(words.lang === 'zh' ? '' : ' ')
}
