/** One-time codes: issued, kept, redeemed; wrong ones counted. */
import { randomBytes } from 'node:crypto'
import { asFailure, Failure } from '../../../daemon/contract/errors.ts'
import type { Json } from '../../../daemon/contract/json.ts'
import type { PluginContext } from '../../../daemon/contract/plugin.ts'
import type { Secrets } from '../secrets.ts'
import { type CodeEffect, type CodeEvent, type CodeState, codeMachine, type IssuedCode, newCodes } from './codes.machine.ts'
import { type LockoutLimits, type LockoutState, lockoutMachine, newLockout } from './lockout.machine.ts'

const PREFIX = 'code/'
/** No I, L, O, U: nobody asks whether that is a one. */
const LETTERS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const LENGTH = 8
const SHORTEST = 6
const MOST = 20_000
const TICK_MS = 60_000

export interface CodeOrder {
  uses: number
  validMinutes: number
  minutes?: number
  /** Pseudonym. */
  person?: string
  role: IssuedCode['role']
  /** The code itself; made up when absent. */
  code?: string
}

export class Codes {
  readonly #context: PluginContext<unknown>
  readonly #secrets: Secrets
  readonly #state: CodeState = newCodes(MOST)
  readonly #lockout: LockoutState
  #cancel = (): void => {}

  constructor(context: PluginContext<unknown>, secrets: Secrets, limits: LockoutLimits) {
    this.#context = context
    this.#secrets = secrets
    this.#lockout = newLockout(limits)
  }

  async restore(): Promise<void> {
    const { store, clock } = this.#context
    const codes = (await store.list(PREFIX)).map(({ value }) => value as unknown as IssuedCode)
    await this.#keep(codeMachine.step(this.#state, { kind: 'restore', codes, wall: clock.wall(), now: clock.mono() }))
    this.#schedule()
  }

  setLimits(limits: LockoutLimits): void {
    lockoutMachine.step(this.#lockout, { kind: 'limits', limits })
  }

  /** Rejects with `args-invalid` for a code that is too short without its dashes, with `queue-full` when 20,000 are waiting to be used. */
  async issue(order: CodeOrder): Promise<{ code: string; expires: string }> {
    const { clock } = this.#context
    const code = order.code ? plainCode(order.code) : made()
    if (code.length < SHORTEST) throw new Failure('args-invalid', `args.code: has ${code.length} letters and digits; ${SHORTEST} at least`)
    const ttlMs = order.validMinutes * 60_000
    const expires = clock.wall() + ttlMs
    const issued: IssuedCode = {
      id: randomBytes(9).toString('base64url'),
      hash: this.#hash(code),
      left: order.uses,
      expires,
      role: order.role,
      ...(order.minutes === undefined ? {} : { seconds: order.minutes * 60 }),
      ...(order.person === undefined ? {} : { person: order.person }),
    }
    const effects = codeMachine.step(this.#state, { kind: 'issue', code: issued, ttlMs, now: clock.mono() })
    if (effects.some((one) => one.kind === 'too-many'))
      throw new Failure('queue-full', `${MOST} codes are waiting to be used; revoke some or let them expire`)
    await this.#keep(effects)
    return { code: order.code ?? `${code.slice(0, 4)}-${code.slice(4)}`, expires: new Date(expires).toISOString() }
  }

  /**
   * One use of it. Rejects with `code-invalid`, `code-used`, or `code-locked` (its message is the seconds to wait). `client` is whom wrong
   * tries are counted against. The use is durable before this resolves.
   */
  async redeem(text: string, client: string): Promise<IssuedCode> {
    this.check(client)
    const { clock } = this.#context
    const effects = codeMachine.step(this.#state, { kind: 'redeem', hash: this.#hash(plainCode(text)), now: clock.mono() })
    const accepted = effects.find((one) => one.kind === 'accepted')
    if (!accepted) {
      this.wrong(client)
      throw new Failure(effects.find((one) => one.kind === 'refused')?.why ?? 'code-invalid', 'not a code of ours')
    }
    await this.#keep(effects)
    lockoutMachine.step(this.#lockout, { kind: 'right', client })
    return accepted.code
  }

  async giveBack(code: IssuedCode): Promise<void> {
    await this.#keep(codeMachine.step(this.#state, { kind: 'give-back', hash: code.hash, now: this.#context.clock.mono() }))
  }

  /** Throws `code-locked` while this client, or everybody, has to wait. */
  check(client: string): void {
    for (const effect of lockoutMachine.step(this.#lockout, { kind: 'try', client, now: this.#context.clock.mono() }))
      if (effect.kind === 'locked') throw new Failure('code-locked', String(effect.seconds))
  }

  wrong(client: string): void {
    for (const effect of lockoutMachine.step(this.#lockout, { kind: 'wrong', client, now: this.#context.clock.mono() })) {
      if (effect.kind === 'all-locked')
        this.#context.log.warn({ code: 'code-locked', seconds: effect.seconds }, 'many wrong one-time codes: no code is taken for a while')
    }
  }

  /** For codes that only this client has been sent: others' wrong ones are not held against it, nor its own against others. */
  checkOwn(client: string): void {
    for (const effect of lockoutMachine.step(this.#lockout, { kind: 'try', client, own: true, now: this.#context.clock.mono() }))
      if (effect.kind === 'locked') throw new Failure('code-locked', String(effect.seconds))
  }

  wrongOwn(client: string): void {
    lockoutMachine.step(this.#lockout, { kind: 'wrong', client, own: true, now: this.#context.clock.mono() })
  }

  async erase(person: string): Promise<void> {
    await this.#keep(codeMachine.step(this.#state, { kind: 'withdraw', person }))
  }

  stop(): void {
    this.#cancel()
  }

  /** Only the keyed hash is looked up and kept: how long a look-up takes says nothing about the code. */
  #hash(code: string): string {
    return this.#secrets.hash('code', code).toString('base64url')
  }

  async #keep(effects: readonly CodeEffect[]): Promise<void> {
    const { store } = this.#context
    for (const effect of effects) {
      if (effect.kind === 'keep') await store.put(PREFIX + effect.code.hash, effect.code as unknown as Json)
      if (effect.kind === 'forget') await store.delete(PREFIX + effect.hash)
    }
  }

  #schedule(): void {
    const { clock, log } = this.#context
    this.#cancel = clock.timer(TICK_MS, () => {
      const event: CodeEvent = { kind: 'tick', now: clock.mono() }
      this.#keep(codeMachine.step(this.#state, event)).catch((error: unknown) =>
        log.warn({ code: asFailure(error).code }, 'codes not tidied'),
      )
      this.#schedule()
    })
  }
}

function made(): string {
  return [...randomBytes(LENGTH)].map((byte) => LETTERS[byte % LETTERS.length]).join('')
}

/** As people type it: any case, blanks and dashes, and the letters that were meant to be digits. */
function plainCode(text: string): string {
  return text.toUpperCase().replace(/[\s-]/g, '').replaceAll('O', '0').replace(/[IL]/g, '1')
}
