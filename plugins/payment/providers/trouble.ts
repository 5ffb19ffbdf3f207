/** What went wrong on the way to a provider, in one short word: whether anything was sent decides. */

/** The provider's TLS certificate does not verify. */
export const CERTIFICATE = 'certificate'

/** Failed before a byte of the request left: the address was not found or nobody could be reached. */
const UNSENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ENETDOWN', 'UND_ERR_CONNECT_TIMEOUT'])
/** The same words come of a line that broke later: Linux gives a pending ICMP error to whoever reads or writes (tcp(7), ip(7)). */
const BEFORE = new Set(['connect', 'getaddrinfo', 'queryA', 'queryAaaa'])

const CERTIFICATES =
  /^(ERR_TLS_CERT_ALTNAME_INVALID|CERT_.*|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_.*|INVALID_CA|HOSTNAME_MISMATCH|ERR_TLS_.*|ERR_SSL_.*)$/

export interface Trouble {
  /** Certain that the provider has seen nothing. */
  unsent: boolean
  /** `certificate`, `timeout`, `ECONNRESET`, … */
  reason: string
}

/** Looks through an error and its causes: the HTTP clients wrap them. */
export function troubleOf(error: unknown): Trouble {
  const codes: string[] = []
  let messages = ''
  let began = false
  for (let one = error, depth = 0; one instanceof Error && depth < 6; one = one.cause, depth++) {
    messages += `${one.name} ${one.message}\n`
    began ||= hasRepeated(one)
    for (const each of [one, ...(one instanceof AggregateError ? one.errors : [])]) {
      if (!(each instanceof Error && 'code' in each && typeof each.code === 'string')) continue
      codes.push(each.code)
      began ||= 'syscall' in each && !BEFORE.has(String(each.syscall))
    }
  }
  if (codes.some((code) => CERTIFICATES.test(code))) return { unsent: false, reason: CERTIFICATE }
  if (codes.some((code) => UNSENT.has(code))) return { unsent: !began && !codes.includes('ECONNRESET'), reason: 'unreachable' }
  if (/timeout/i.test(messages) || codes.some((code) => /TIMEOUT|TIMEDOUT|ECONNABORTED/.test(code)))
    return { unsent: false, reason: 'timeout' }
  return { unsent: false, reason: codes[0] === undefined ? 'no-answer' : codes[0].slice(0, 40) }
}

/**
 * urllib (of alipay-sdk) repeats a request whose line broke, and tells of the second try alone: that one may find nobody there while
 * the first was carried out. It notes that it did so in `res` of the error.
 */
function hasRepeated(error: Error): boolean {
  const { res } = error as { res?: { retries?: number; socketErrorRetries?: number } | null }
  return (res?.socketErrorRetries ?? 0) > 0 || (res?.retries ?? 0) > 0
}
