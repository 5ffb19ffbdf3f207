/** How right the links are, by method, against what was seen beside the till. */
import type { Linked, Method } from '../facts.ts'
import { METHODS } from '../linking/proof.ts'
import type { Traffic, Truth } from './traffic.ts'

export interface MethodScore {
  method: Method
  /** Current links. */
  links: number
  /** Not what the proof proves: see `isRight`. */
  wrong: number
  /** Right, and yet another person than the one who paid: a shared phone, a lent card, a paper that was picked up. */
  otherPerson: number
  /** Payments not given back with this method's evidence, from people who had agreed. */
  provable: number
  /** Of those, linked by it or by a stronger one, and rightly. */
  found: number
}

export interface Score {
  methods: MethodScore[]
  payments: number
  linked: number
  provable: number
}

export function score({ truth }: Traffic, current: ReadonlyMap<string, Linked>): Score {
  const live = [...truth].filter(([, one]) => !one.refunded)
  const methods = METHODS.map((method): MethodScore => {
    const links = [...current].filter(([, link]) => link.method === method && link.confidence > 0)
    const provable = live.filter(([, one]) =>
      method === 'single_candidate' ? one.inside && one.provable.size === 0 : one.provable.has(method),
    )
    const strong = METHODS.slice(0, METHODS.indexOf(method) + 1)
    return {
      method,
      links: links.length,
      wrong: links.filter(([payment, link]) => !isRight(link, truth.get(payment))).length,
      otherPerson: links.filter(([payment, link]) => link.visitor?.startsWith('person-') && link.visitor !== truth.get(payment)?.holder)
        .length,
      provable: provable.length,
      found: provable.filter(([payment, known]) => {
        const link = current.get(payment)
        return link !== undefined && link.confidence > 0 && strong.includes(link.method) && isRight(link, known)
      }).length,
    }
  })
  return {
    methods,
    payments: live.length,
    linked: live.filter(([payment]) => current.get(payment)?.visitor !== undefined).length,
    provable: live.filter(([, one]) => one.provable.size > 0).length,
  }
}

/**
 * Identity is right when it names the person whose wallet or card it was, and only then; the owner of a borrowed phone is not. A session is
 * right when it is that of the phone in the payer's hand, or on which the receipt was opened. A guess, which names nobody, when the payer was inside.
 */
function isRight({ method, visitor, session }: Linked, known: Truth | undefined): boolean {
  if (!known) return false
  const ownSession = session === undefined || session === known.session
  switch (method) {
    case 'payer_identity':
      return visitor === known.holder && known.ownPhone && ownSession
    case 'member_code':
      return visitor === known.card && (known.card !== known.holder || !known.ownPhone || ownSession)
    case 'portal_order':
      return session === known.session && visitor === known.phone
    case 'claim_code':
      return known.claimer !== undefined && visitor === known.claimer.visitor && (!known.claimer.here || session === known.claimer.session)
    case 'single_candidate':
      return known.inside
  }
}
