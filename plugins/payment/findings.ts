/** What `shopwire doctor` hears: the command `self-check` (docs/writing-a-plugin.md, "Being asked by the doctor"). */
import type { JsonObject } from '../../daemon/contract/json.ts'
import type { PaymentConfig } from './config.ts'
import { currentOf, type Payment, statusOf } from './payment.ts'
import { CERTIFICATE } from './providers/trouble.ts'

export interface Finding extends JsonObject {
  state: 'ok' | 'warn' | 'fail'
  fact: string
  /** A mend that can be pasted. */
  fix: string
}

export type Ok = JsonObject & { state: 'ok'; fact: string }
export type Findings = (Finding | Ok)[]

/** How a provider does. */
export interface ProviderHealth {
  name: 'alipay' | 'wechat' | 'hq'
  /** Why its keys cannot be used; absent: they can. */
  keys?: string
  /** Since the last answer that counts, ms; absent: none since the start. */
  answeredMs?: number
  /** Why there is none now, and since when. */
  trouble?: { reason: string; ms: number }
}

const DOUBTS_SHOWN = 5
/** Longer than any provider's own time limits: now somebody should look. */
const LONG_DOUBT_MS = 5 * 60_000

export function providerFindings(config: PaymentConfig, providers: readonly ProviderHealth[]): Findings {
  const found: Findings = providers.map((one) => providerFinding(config, one))
  if (providers.length === 0)
    found.push({
      state: 'warn',
      fact: 'no provider is configured: cash only, and every pay code is turned away',
      fix: 'configure plugins.payment.alipay, .wechat or .hq (plugins/payment/README.md)',
    })
  for (const [channel, provider] of Object.entries(config.route))
    if (provider !== 'cash' && config[provider] === undefined)
      found.push({
        state: 'fail',
        fact: `${channel} codes are routed to ${provider}, which is not configured`,
        fix: `configure plugins.payment.${provider}, or take ${channel} out of plugins.payment.route`,
      })
  return found
}

function providerFinding(config: PaymentConfig, { name, keys, answeredMs, trouble }: ProviderHealth): Finding | Ok {
  if (keys !== undefined)
    return {
      state: 'fail',
      fact: `${name}: ${keys}`,
      fix: 'systemctl show shopwire -p LoadCredential   # or, for a path: sudo ls -l FILE',
    }
  if (!trouble)
    return { state: 'ok', fact: `${name}: ${answeredMs === undefined ? 'not asked since the start' : `answered ${age(answeredMs)} ago`}` }
  const fact = `${name}: no answer that counts for ${age(trouble.ms)} (${trouble.reason})`
  if (trouble.reason === 'clock') return { state: 'fail', fact, fix: 'timedatectl   # signatures count for 5 minutes' }
  if (name === 'hq') return { state: 'fail', fact, fix: 'sudo shopwire status   # is HQ connected, and does it answer up/request?' }
  const url = name === 'alipay' ? config.alipay?.gateway : config.wechat?.endpoint
  const look = `curl -sSv -m 10 -o /dev/null ${url ?? ''}`
  return { state: 'fail', fact, fix: trouble.reason === CERTIFICATE ? `timedatectl; ${look}   # does its certificate verify?` : look }
}

/** Money of which nobody can say where it is. */
export function doubtFindings(payments: readonly Payment[], wall: number): Findings {
  const doubts = payments
    .flatMap((payment) => {
      const attempt = currentOf(payment)
      if (statusOf(payment) === 'unknown' && attempt)
        return [{ payment, ms: wall - Date.parse(attempt.at), what: `UNKNOWN (${attempt.reason ?? attempt.phase})` }]
      const refund = payment.refunds.find((one) => one.phase === 'unknown')
      return refund ? [{ payment, ms: wall - Date.parse(refund.at), what: `a refund is UNKNOWN (${refund.detail ?? 'no answer'})` }] : []
    })
    .sort((a, b) => b.ms - a.ms)
  if (doubts.length === 0) return [{ state: 'ok', fact: 'no payment in doubt' }]
  const found: Findings = doubts.slice(0, DOUBTS_SHOWN).map(({ payment, ms, what }) => ({
    state: ms > LONG_DOUBT_MS ? 'fail' : 'warn',
    fact: `order ${payment.order} at ${payment.till}, ${payment.amount} minor units ${payment.currency}: ${what} for ${age(ms)}`,
    fix: `shopwire cmd payment - query '{"payment":"${payment.id}"}'`,
  }))
  if (doubts.length > DOUBTS_SHOWN)
    found.push({ state: 'warn', fact: `${doubts.length - DOUBTS_SHOWN} more in doubt`, fix: 'shopwire cmd payment - payments' })
  return found
}

/** `40 s`, `12 min`, `3 h`, `5 days`. A clock that was set back makes no negative ages. */
export function age(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000))
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} days`
}
