/** What the redemption machine knows, hears and asks for. */
import type { ErrorCode } from '../../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../../daemon/contract/json.ts'
import type { MonoMs, WallMs } from '../../../daemon/contract/plugin.ts'
import type { OpenPayment, PaymentOutcome } from './api.ts'
import type { Guesses } from './guesses.machine.ts'
import type { CodeKind, Redemption, Worth } from './redemption.ts'

export interface Settings {
  store: string
  /** A code without an open payment is held for the till this long. */
  holdMs: number
  /** The till waits this long at most for HQ’s word. */
  reserveMs: number
  /** Kinds that a till may complete without a payment: a pick-up of what is paid already. */
  withoutPayment: readonly CodeKind[]
  offline: { valuePerCode: number; valuePerDay: number }
}

/** The offline list’s word on a code. */
export type ListWord =
  | { is: 'listed'; list: number; worth: Worth; from?: number; until?: number; stores?: readonly string[] }
  | { is: 'unlisted' }
  /** There is no list, or it does not count now. */
  | { is: 'none'; why: string }

/** What HQ is asked about a redemption. */
export type Question = 'reserve' | 'commit' | 'release' | 'unredeem'

export interface Live {
  record: Redemption
  /** The question that has no answer yet. One at a time, so that HQ never hears a release before its reserve. */
  asking?: Question | 'list'
  /** When something is due: the next attempt, the end of the hold. */
  dueAt?: number
  /** `reserving`: until when HQ’s answer is waited for. */
  deadline: number
  attempts: number
  /** A reserve may have reached HQ. After a restart nobody knows. */
  sent: boolean
  /** What HQ or the way to it said last, for a person. */
  trouble?: string
}

export interface RedeemState {
  settings: Settings
  redemptions: Map<string, Live>
  /** By kind and code: the latest redemption that was not refused. */
  byCode: Map<string, string>
  /** Those that are not final. */
  open: Set<string>
  guesses: Guesses
  /** The last payments that became final: a scan that crosses the end of one must not wait for it. */
  ended: Set<string>
}

interface At {
  now: MonoMs
  wall: WallMs
}

export type RedeemEvent =
  | ({ type: 'scanned'; id: string; till: string; kind: CodeKind; code: string; at: number; open: OpenPayment | undefined } & At)
  | ({ type: 'answered'; id: string; question: Question; answer: Json } & At)
  | ({ type: 'failed'; id: string; question: Question; code: ErrorCode; message: string; random: number } & At)
  | ({ type: 'looked-up'; id: string; word: ListWord; day: string } & At)
  | ({ type: 'opened'; payment: OpenPayment } & At)
  /** What was shelved of a payment of which something is about to be told. */
  | ({ type: 'recalled'; records: readonly Redemption[] } & At)
  | ({ type: 'settled'; payment: string; outcome: PaymentOutcome } & At)
  /** The till takes it back. */
  | ({ type: 'released'; id: string } & At)
  /** The till says that a code that needs no payment has been honoured. */
  | ({ type: 'completed'; id: string } & At)
  | ({ type: 'told'; id: string } & At)
  /** `payments`: those open at the tills that hold something. */
  | ({ type: 'tick'; payments: readonly OpenPayment[]; listIssuedAt: number | undefined } & At)

/** In order; what follows a `keep` or `forget` is done once that is durable. */
export type RedeemEffect =
  | { do: 'keep'; redemption: Redemption }
  | { do: 'forget'; id: string }
  /** Used on a payment that may still be refunded: kept on disk by that payment, then forgotten. */
  | { do: 'shelve'; redemption: Redemption }
  | { do: 'ask'; id: string; question: Question; args: JsonObject }
  | { do: 'look-up'; id: string; kind: CodeKind; code: string }
  /** Journal the first of the redemption’s news. */
  | { do: 'tell'; id: string }
