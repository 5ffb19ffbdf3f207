/** What tills ask about codes, and are answered: `redeem`, `release`, `redemptions`. */
import { Failure } from '../../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../../daemon/contract/json.ts'
import { faceOf } from './event-data.ts'
import { mayComplete } from './redeem.machine.ts'
import type { RedeemShell } from './redeem-shell.ts'
import { type CodeKind, codeKey, isOpen, REASON_CODES, type Reason, type Redemption } from './redemption.ts'

export interface RedeemArgs {
  till?: string
  kind?: CodeKind
  code?: string
  redemption?: string
}

export interface ListArgs {
  till?: string
  payment?: string
  open?: boolean
  limit: number
}

function answerOf(record: Redemption): JsonObject {
  const { phase, heldUntil, conflict, ended, at } = record
  return {
    ...faceOf(record),
    state: phase,
    at: new Date(at).toISOString(),
    ...(heldUntil === undefined ? {} : { heldUntil: new Date(heldUntil).toISOString() }),
    ...(ended === undefined ? {} : { reason: ended.reason, message: ended.message }),
    ...(conflict === undefined ? {} : { conflict }),
  }
}

export class RedeemCommands {
  readonly #shell: RedeemShell

  constructor(shell: RedeemShell) {
    this.#shell = shell
  }

  /** Resolves when the code is reserved, or rejects with why not; without an answer of HQ’s after `reserveSeconds`. */
  async redeem(args: RedeemArgs, id: string): Promise<Json> {
    if (args.redemption !== undefined) return this.#complete(args.redemption)
    const { till, kind, code } = args
    if (till === undefined || kind === undefined || code === undefined)
      throw new Failure('args-invalid', 'args: till, kind and code are needed to reserve a code, or redemption to complete one')
    await this.#shell.scan(id, till, kind, code)
    while (this.#record(id).phase === 'reserving' && !this.#shell.stopping) await this.#shell.changed(id)
    await this.#shell.durable()
    const record = this.#record(id)
    if (record.phase === 'reserving') throw new Failure('stopping', 'the plugin stops; the code is asked for again after the start')
    const no = record.worth === undefined ? record.ended : undefined
    if (!no) return answerOf(record)
    const same = no.reason === 'already-here' ? await this.#same(record) : undefined
    if (same) return answerOf(same)
    throw new Failure(REASON_CODES[no.reason as Reason], `${no.reason}: ${no.message}`)
  }

  async #complete(id: string): Promise<Json> {
    const record = this.#record(id)
    if (record.phase !== 'committing' && record.phase !== 'committed') {
      if (!mayComplete(this.#shell.state, record))
        throw new Failure(
          'payment-state',
          `redemption ${id} is ${record.phase}${record.payment ? ` for payment ${record.payment}` : ''}; without a payment the till completes only ${this.#shell.state.settings.withoutPayment.join(' and ') || 'nothing'} while reserved`,
        )
      await this.#shell.take(() => ({ type: 'completed', id }))
    }
    await this.#shell.durable()
    const now = this.#record(id)
    // Taken back by a command beside this one.
    if (now.phase !== 'committing' && now.phase !== 'committed')
      throw new Failure('payment-state', `redemption ${id} is ${now.phase}: something else came first`)
    return answerOf(now)
  }

  async release({ redemption, till }: { redemption?: string; till?: string }): Promise<Json> {
    if ((redemption === undefined) === (till === undefined)) throw new Failure('args-invalid', 'args: one of redemption and till is needed')
    const ids = redemption === undefined ? this.#reservedAt(String(till)) : [redemption]
    for (const id of ids) {
      const { phase } = this.#record(id)
      if (phase === 'reserving') throw new Failure('payment-state', `redemption ${id} is being asked for; wait for the answer`)
      if (phase === 'committing' || phase === 'committed')
        throw new Failure('payment-state', `redemption ${id} is ${phase}; refund the payment`)
      if (phase === 'reserved') await this.#shell.take(() => ({ type: 'released', id }))
    }
    return { released: ids.map((id) => answerOf(this.#record(id))) }
  }

  #reservedAt(till: string): string[] {
    return [...this.#shell.state.redemptions.values()]
      .filter(({ record }) => record.till === till && record.phase === 'reserved')
      .map(({ record }) => record.id)
  }

  async redemptions({ till, payment, open, limit }: ListArgs): Promise<Json> {
    const lives = [...this.#shell.state.redemptions.values()].filter(
      ({ record }) =>
        (till === undefined || record.till === till) &&
        (payment === undefined || record.payment === payment) &&
        (open !== true || isOpen(record)),
    )
    return {
      total: lives.length,
      redemptions: lives
        .slice(-limit)
        .reverse()
        .map(({ record, trouble }) => ({ ...answerOf(record), ...(trouble === undefined ? {} : { trouble }) })),
    }
  }

  /** The one that has this code on the same sale, once its own answer has come: two may ask for it at the same time. */
  async #same({ kind, code }: Redemption): Promise<Redemption | undefined> {
    const find = () => this.#shell.state.redemptions.get(this.#shell.state.byCode.get(codeKey(kind, code)) ?? '')?.record
    for (let same = find(); same && !this.#shell.stopping; same = find()) {
      if (same.phase !== 'reserving') {
        await this.#shell.durable()
        return same.phase === 'reserved' ? same : undefined
      }
      await this.#shell.changed(same.id)
    }
    return undefined
  }

  #record(id: string): Redemption {
    const live = this.#shell.state.redemptions.get(id)
    if (!live) throw new Failure('not-found', `no redemption "${id}" is kept here`)
    return live.record
  }
}
