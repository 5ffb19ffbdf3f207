/** Switches; each may be changed at any time. Counts go down as they are used. */
export type Op = 'pay' | 'show' | 'query' | 'cancel' | 'refund'

type Counts = Partial<Record<Op, number>>

export interface Faults {
  /** ms before a request is carried out. */
  slowMs: number
  /** ms between carrying out and answering. */
  slowAnswerMs: number
  /** The next so many shoppers must type their password; they do so after `confirmMs`. Infinity: never. */
  userPaying: number
  confirmMs: number
  /** Carried out, and the line breaks before the answer. */
  loseAnswer: Counts
  /** The line breaks before anything is carried out. */
  loseRequest: Counts
  /** The answer's bytes come twice. */
  answerTwice: Counts
  /** Carried out, and the answer is signed by somebody else. */
  wrongSignature: Counts
  /** HTTP 500 (502 is `before`), carried out. */
  serverError: Counts
  /** HTTP 502 from a proxy, not carried out. */
  badGateway: Counts
  /** "System error", carried out. */
  systemError: Counts
  /** Asked to come again. */
  refuseCancel: number
  /** Not carried out until so long after the answer's line broke: money that comes late. */
  latePayMs: number
  /** The provider's clock is so far ahead. */
  skewSeconds: number
  /** Who pays next has nothing. */
  insufficientFunds: number
}

export const sound = (): Faults => ({
  slowMs: 0,
  slowAnswerMs: 0,
  userPaying: 0,
  confirmMs: Number.POSITIVE_INFINITY,
  loseAnswer: {},
  loseRequest: {},
  answerTwice: {},
  wrongSignature: {},
  serverError: {},
  badGateway: {},
  systemError: {},
  refuseCancel: 0,
  latePayMs: 0,
  skewSeconds: 0,
  insufficientFunds: 0,
})

/** Uses one of a switch's counts. */
export function take(counts: Counts, op: Op): boolean {
  const left = counts[op] ?? 0
  if (left <= 0) return false
  counts[op] = left - 1
  return true
}
