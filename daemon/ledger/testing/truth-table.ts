/** How right the links are, by method, against known truth. */
import type { Linked } from '../facts.ts'
import { METHODS } from '../linking.machine.ts'
import type { Traffic } from './traffic.ts'

export interface MethodScore {
  method: string
  /** Current links. */
  links: number
  /** Of those, the right person; of guesses, which name nobody: those where the payer was one of the candidates. */
  right: number
  wrong: number
  /** Payments for which the events hold this method's evidence. */
  possible: number
}

export function score(
  { truth }: Traffic,
  current: ReadonlyMap<string, Linked>,
): { methods: MethodScore[]; payments: number; linked: number; findable: number } {
  const methods = METHODS.map((method): MethodScore => {
    const of = [...current].filter(([, link]) => link.method === method && link.confidence > 0)
    const right = of.filter(([payment, link]) => {
      const known = truth.get(payment)
      return link.visitor === undefined ? known?.inside : known?.names.has(link.visitor)
    }).length
    return {
      method,
      links: of.length,
      right,
      wrong: of.length - right,
      possible: [...truth.values()].filter(
        (one) => !one.refunded && (method === 'single_candidate' ? one.inside && one.possible.size === 0 : one.possible.has(method)),
      ).length,
    }
  })
  const live = [...truth].filter(([, one]) => !one.refunded)
  return {
    methods,
    payments: live.length,
    linked: live.filter(([payment]) => current.get(payment)?.visitor !== undefined).length,
    findable: live.filter(([, one]) => one.possible.size > 0).length,
  }
}
