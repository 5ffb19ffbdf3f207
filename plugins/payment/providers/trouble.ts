/** What went wrong on the way to a provider, in one short word: whether anything was sent decides. */

/** The provider's TLS certificate does not verify. */
export const CERTIFICATE = 'certificate'

/** Failed before a byte of the request left: the address was not found or nobody could be reached. */
const UNSENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ENETDOWN', 'UND_ERR_CONNECT_TIMEOUT'])

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
  for (let one = error, depth = 0; one instanceof Error && depth < 6; one = one.cause, depth++) {
    if ('code' in one && typeof one.code === 'string') codes.push(one.code)
    messages += `${one.name} ${one.message}\n`
    if (one instanceof AggregateError)
      for (const inner of one.errors) if (inner instanceof Error && 'code' in inner) codes.push(String(inner.code))
  }
  if (codes.some((code) => CERTIFICATES.test(code))) return { unsent: false, reason: CERTIFICATE }
  const unsent = codes.length > 0 && codes.some((code) => UNSENT.has(code)) && !codes.includes('ECONNRESET')
  if (unsent) return { unsent, reason: 'unreachable' }
  if (/timeout/i.test(messages) || codes.some((code) => /TIMEOUT|TIMEDOUT|ECONNABORTED/.test(code)))
    return { unsent: false, reason: 'timeout' }
  return { unsent: false, reason: codes[0] === undefined ? 'no-answer' : codes[0].slice(0, 40) }
}
