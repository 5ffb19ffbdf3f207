/** HQ's side of redemption, as README.md asks it of an HQ: durable, told of everything at least once, in any order. With fault switches. */
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { Failure } from '../../../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../../../daemon/contract/json.ts'
import { hashCode } from '../code-list.ts'
import type { CodeKind } from '../redemption.ts'

interface Known {
  kind: string
  value: number
  /** Which redemption has it, and whether for good. */
  by?: string
  used?: boolean
}

export interface HqFaults {
  away: boolean
  /** The request does not arrive. */
  dropRequest: boolean
  /** HQ has done it, and nobody hears. */
  dropAnswer: boolean
  /** A reserve is answered after this. */
  slowReserve: Promise<void> | undefined
}

export class Hq {
  readonly codes = new Map<string, Known>()
  readonly members = new Map<string, Json>()
  readonly heard: { request: string; args: JsonObject; id: string }[] = []
  /** For which payments a code was committed: never more than one. */
  readonly commits: { code: string; redemption: string; payment: string | undefined; conflict: boolean }[] = []
  readonly faults: HqFaults = { away: false, dropRequest: false, dropAnswer: false, slowReserve: undefined }
  reusable = true
  /** Off: an HQ that forgets releases, which README.md forbids. */
  tombstones = true
  readonly #redemptions = new Map<string, 'reserved' | 'committed' | 'released' | 'returned'>()
  readonly #refusals = new Map<string, Failure>()
  readonly #conflicts = new Map<string, JsonObject>()

  add(kind: CodeKind, code: string, value: number): void {
    this.codes.set(`${kind}:${code}`, { kind, value })
  }

  readonly ask = async (request: string, args: Json, { id = '' }: { id?: string } = {}): Promise<Json> => {
    const { away, dropRequest, dropAnswer } = this.faults
    if (away) throw new Failure('hq-unreachable', 'HQ cannot be reached now')
    if (dropRequest) throw new Failure('hq-no-answer', 'HQ did not answer')
    const asked = args as JsonObject
    this.heard.push({ request, args: asked, id })
    let answer: Json | Failure
    try {
      answer = this.answer(request, asked)
    } catch (error) {
      answer = error as Failure
    }
    if (request === 'reserve') await this.faults.slowReserve
    if (dropAnswer) throw new Failure('hq-no-answer', 'HQ did not answer')
    if (answer instanceof Failure) throw answer
    return answer
  }

  stateOf(redemption: string): string | undefined {
    return this.#redemptions.get(redemption)
  }

  /** What HQ makes of a request, each time it arrives. Throws its refusals. */
  answer(request: string, args: JsonObject): Json {
    const redemption = String(args.redemption)
    const known = this.codes.get(`${args.kind}:${args.code}`)
    switch (request) {
      case 'reserve':
        return this.#reserve(redemption, known)
      case 'commit':
        return this.#commit(redemption, known, args)
      case 'release':
        // Whatever comes later of this redemption comes too late.
        if (this.tombstones && this.#redemptions.get(redemption) !== 'committed') this.#redemptions.set(redemption, 'released')
        if (known?.by === redemption && !known.used) delete known.by
        return {}
      case 'unredeem':
        if (this.#redemptions.get(redemption) === 'returned') return { reusable: this.reusable }
        if (this.reusable && known?.by === redemption) {
          delete known.by
          known.used = false
        }
        this.#redemptions.set(redemption, 'returned')
        return { reusable: this.reusable }
      case 'member': {
        const member = this.members.get(String(args.code))
        if (!member) throw new Failure('code-invalid', 'no such member')
        return member
      }
      default:
        throw new Failure('hq-refused', `unknown: ${request}`)
    }
  }

  #reserve(redemption: string, known: Known | undefined): Json {
    // A no stays a no: a repeat that the network held back must not reserve for a sale that is over.
    const refusal = this.#refusals.get(redemption) ?? this.#objection(redemption, known)
    if (refusal || !known) {
      const no = refusal ?? new Failure('code-invalid', 'no such code')
      this.#refusals.set(redemption, no)
      throw no
    }
    known.by = redemption
    this.#redemptions.set(redemption, known.used ? 'committed' : 'reserved')
    return { value: known.value, currency: 'CNY', label: `${known.value} off` }
  }

  #objection(redemption: string, known: Known | undefined): Failure | undefined {
    const state = this.#redemptions.get(redemption)
    if (state === 'released' || state === 'returned') return new Failure('code-invalid', 'this redemption is over')
    if (known?.by !== undefined && known.by !== redemption) return new Failure('code-used', 'it is used or in use elsewhere')
    return undefined
  }

  #commit(redemption: string, known: Known | undefined, args: JsonObject): Json {
    const before = this.#conflicts.get(redemption)
    if (before) return { conflict: before }
    // A redemption only moves forward: a commit that the network held back is not done again after the refund.
    const state = this.#redemptions.get(redemption)
    if (state === 'committed' || state === 'returned') return {}
    const code = `${args.kind}:${args.code}`
    const payment = args.payment === undefined ? undefined : String(args.payment)
    if (!known || (known.by !== undefined && known.by !== redemption)) {
      const conflict = { redemption: known?.by ?? 'none', shop: 'another' }
      this.#conflicts.set(redemption, conflict)
      this.commits.push({ code, redemption, payment, conflict: true })
      return { conflict }
    }
    known.by = redemption
    known.used = true
    this.#redemptions.set(redemption, 'committed')
    this.commits.push({ code, redemption, payment, conflict: false })
    return {}
  }
}

/** Makes and signs offline lists. */
export class ListMaker {
  readonly #key: KeyObject
  readonly publicKey: string

  constructor() {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    this.#key = privateKey
    this.publicKey = publicKey.export({ type: 'spki', format: 'pem' }).toString()
  }

  async payload(version: number, codes: { kind: CodeKind; code: string; value: number; [extra: string]: Json }[], head: JsonObject = {}) {
    const salt = Buffer.alloc(16, version)
    const iterations = 10
    const now = Date.now()
    const listed = await Promise.all(
      codes.map(async ({ code, ...rest }) => ({ hash: await hashCode(rest.kind, code, { salt, iterations }), ...rest })),
    )
    return JSON.stringify({
      version,
      issuedAt: new Date(now - 60_000).toISOString(),
      expiresAt: new Date(now + 86_400_000).toISOString(),
      stores: ['0001'],
      currency: 'CNY',
      salt: salt.toString('base64url'),
      iterations,
      codes: listed,
      ...head,
    })
  }

  sign(payload: string): string {
    return sign(null, Buffer.from(payload), this.#key).toString('base64')
  }

  async list(...args: Parameters<ListMaker['payload']>): Promise<JsonObject> {
    const payload = await this.payload(...args)
    return { version: args[0], part: 1, parts: 1, payload, signature: this.sign(payload) }
  }
}
