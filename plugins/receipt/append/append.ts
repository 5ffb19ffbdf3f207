/** What goes on the paper before a cut: HQ's coupon, a claim code, both or nothing. */
import type { CapturedPaper, Cut } from '../capture/capture.machine.ts'
import type { AppendConfig, TillConfig } from '../config.ts'
import type { Appended } from '../relay/forward.ts'
import { findTotal, type Template } from '../template/extract.ts'
import type { Claims } from './claims.ts'
import { type Strip, strips } from './escpos.ts'

export interface AppendParts {
  config: TillConfig & { append: AppendConfig }
  template: Template
  claims: Claims
  /** Told why nothing was appended. */
  skipped: (why: string) => void
}

export function appendTo(parts: AppendParts, paper: CapturedPaper, cut: Cut): Appended | undefined {
  const why = obstacle(parts, paper, cut)
  if (why !== undefined) {
    parts.skipped(why)
    return undefined
  }
  const { config, claims } = parts
  const { coupon, claim } = config.append
  const all: Strip[] = coupon ? [coupon] : []
  const issued = claim && claims.issue(claim.hours)
  if (claim && issued)
    all.push({ text: claim.text, qr: `${/^https?:\/\//.test(claim.portal) ? '' : 'https://'}${claim.portal}/c/${issued.token}` })
  if (all.length === 0) return undefined
  const bytes = strips(all, cut, { encoding: config.encoding, width: config.width, qr: config.append.qr })
  return { bytes, ...(issued ? { claim: { hash: issued.hash, expires: issued.expires } } : {}) }
}

function obstacle({ config, template }: AppendParts, paper: CapturedPaper, cut: Cut): string | undefined {
  if (cut.unsafe !== undefined) return cut.unsafe
  if (paper.letters === 0) return 'bitmap-only'
  if (config.append.when === 'always') return undefined
  const total = findTotal(template, paper.lines, config)
  return total !== undefined && total > 0 ? undefined : 'no-total'
}
