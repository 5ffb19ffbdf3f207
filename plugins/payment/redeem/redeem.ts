/** Codes of the shop's own, from scan to HQ's word: what the payment plugin holds in its hand. */
import { createHash } from 'node:crypto'
import { asFailure, Failure } from '../../../daemon/contract/errors.ts'
import type { Json, JsonObject } from '../../../daemon/contract/json.ts'
import type { Findings } from '../findings.ts'
import type { Screens } from '../shown/screens.ts'
import type { OpenPayment, PaymentDesk, PaymentOutcome, Redemptions } from './api.ts'
import { publicKeysOf } from './config.ts'
import { listFindings, waitingFindings } from './findings.ts'
import { type ListPart, ListShelf } from './list-shelf.ts'
import { MemberDesk } from './member.ts'
import { type ListArgs, type RedeemArgs, RedeemCommands } from './redeem-commands.ts'
import { type RedeemContext, RedeemShell } from './redeem-shell.ts'

/** After a start the payment side is looked at so often for payments that members wait for. */
const LOOK_MS = 500
const LOOKS = 10

type Scan = Parameters<Redemptions['scanned']>[0]

/** Loads what a crash or stop left and goes on with it. A key that cannot be read turns the offline list off, and nothing else. */
export async function openRedemptions(context: RedeemContext, desk: PaymentDesk, screens: Screens): Promise<Redemptions> {
  let keys: ReturnType<typeof publicKeysOf> = []
  try {
    keys = publicKeysOf(context.config.redeem.offline)
  } catch (error) {
    const { code, message } = asFailure(error)
    context.log.error({ code }, `${message}; no code is taken while HQ is away`)
  }
  const shelf = new ListShelf(context, keys)
  await shelf.open()
  const shell = await RedeemShell.start(context, desk, shelf)
  const members = new MemberDesk(context, desk, shell.state.guesses, screens)
  await members.open()
  return new Redeemer(context, shelf, shell, members).start()
}

class Redeemer implements Redemptions {
  readonly #context: RedeemContext
  readonly #shelf: ListShelf
  readonly #shell: RedeemShell
  readonly #members: MemberDesk
  readonly #commands: RedeemCommands
  #cancelLook = (): void => {}

  constructor(context: RedeemContext, shelf: ListShelf, shell: RedeemShell, members: MemberDesk) {
    this.#context = context
    this.#shelf = shelf
    this.#shell = shell
    this.#members = members
    this.#commands = new RedeemCommands(shell)
  }

  start(): this {
    this.#lookForPayments()
    return this
  }

  async scanned({ scan, till, kind, code, at }: Scan): Promise<void> {
    const parsed = Date.parse(at)
    const when = Number.isNaN(parsed) ? this.#context.clock.wall() : parsed
    if (kind === 'member') await this.#members.scanned({ id: shortId(scan), till, code, at: when })
    else await this.#shell.scan(shortId(scan), till, kind, code, when)
  }

  async opened(payment: OpenPayment): Promise<void> {
    await this.#shell.take(() => ({ type: 'opened', payment }))
    await this.#members.opened(payment)
  }

  async settled(payment: string, outcome: PaymentOutcome): Promise<void> {
    await this.#shell.settled(payment, outcome)
    await this.#members.settled(payment)
  }

  handle(command: string, args: JsonObject, id: string): Promise<Json> | undefined {
    switch (command) {
      case 'redeem':
        return this.#commands.redeem(args as unknown as RedeemArgs, shortId(id))
      case 'release':
        return this.#commands.release(args as { redemption?: string; till?: string })
      case 'redemptions':
        return this.#commands.redemptions(args as unknown as ListArgs)
      case 'code-list':
        return this.#codeList(args)
      case 'member':
        return this.#members.ask({ id: shortId(id), till: String(args.till), code: String(args.code), at: this.#context.clock.wall() })
      case 'display':
        return this.#members.display(String(args.till))
      default:
        return undefined
    }
  }

  findings(): Findings {
    const { config, clock } = this.#context
    const { publicKey, publicKeyFile } = config.redeem.offline
    const records = [...this.#shell.state.redemptions.values()].map(({ record }) => record)
    const keyed = publicKey !== undefined || publicKeyFile !== undefined
    return [...waitingFindings(records, clock.wall()), ...listFindings(this.#shelf.status(), keyed, clock.wall())]
  }

  async stop(): Promise<void> {
    this.#cancelLook()
    this.#members.stop()
    await this.#shell.stop()
  }

  async #codeList(args: JsonObject): Promise<Json> {
    if (args.payload === undefined) return this.#shelf.status()
    for (const key of ['version', 'part', 'parts', 'signature'])
      if (args[key] === undefined) throw new Failure('args-invalid', `args.${key}: is missing beside payload`)
    return this.#shelf.take(args as unknown as ListPart)
  }

  /** The payment side may start after us; members wait for its payments no longer than a code would. */
  #lookForPayments(rounds = LOOKS): void {
    this.#cancelLook = this.#context.clock.timer(LOOK_MS, () =>
      this.#shell.background(
        this.#members.look().then((waits) => {
          if (waits && rounds > 1 && !this.#shell.stopping) this.#lookForPayments(rounds - 1)
        }),
      ),
    )
  }
}

/** What HQ tells a repeat by: as long as this gateway keeps the scan or the command, it makes the same id. */
const shortId = (from: string): string => createHash('sha256').update(from).digest('base64url').slice(0, 22)
