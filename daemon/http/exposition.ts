/** The Prometheus text format, version 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/ */

export type MetricType = 'counter' | 'gauge' | 'untyped'

interface Sample {
  labels: Record<string, string>
  value: number
}

interface Family {
  type: MetricType
  help: string
  samples: string[]
}

const NAME = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})?$/

export class Exposition {
  readonly #families = new Map<string, Family>()

  add(name: string, type: MetricType, help: string, samples: readonly Sample[] | number): void {
    const list = typeof samples === 'number' ? [{ labels: {}, value: samples }] : samples
    const family = this.#family(name, type, help)
    for (const { labels, value } of list) family.samples.push(`${name}${formatLabels(labels)} ${formatValue(value)}`)
  }

  /** Figures of other modules by ready-made name; what is not a metric's name is left out. */
  addAll(figures: Record<string, number>): void {
    for (const [key, value] of Object.entries(figures)) {
      const [, name, labels = ''] = NAME.exec(key) ?? []
      if (name === undefined) continue
      const full = name.startsWith('shopwire_') ? name : `shopwire_${name}`
      const family = this.#family(full, full.endsWith('_total') ? 'counter' : 'untyped', '')
      family.samples.push(`${full}${labels} ${formatValue(value)}`)
    }
  }

  text(): string {
    let out = ''
    for (const [name, family] of this.#families) {
      if (family.help !== '') out += `# HELP ${name} ${family.help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}\n`
      out += `# TYPE ${name} ${family.type}\n${family.samples.join('\n')}\n`
    }
    return out
  }

  #family(name: string, type: MetricType, help: string): Family {
    let family = this.#families.get(name)
    if (!family) {
      family = { type, help, samples: [] }
      this.#families.set(name, family)
    }
    return family
  }
}

function formatLabels(labels: Record<string, string>): string {
  const parts = Object.entries(labels).map(
    ([key, value]) => `${key}="${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`,
  )
  return parts.length === 0 ? '' : `{${parts.join(',')}}`
}

function formatValue(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf'
  return String(value)
}
