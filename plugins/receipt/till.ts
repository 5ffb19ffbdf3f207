/** One till: its virtual printer, what is read there, and the commands that look at it. */
import type { Command } from '../../daemon/contract/command.ts'
import { Failure } from '../../daemon/contract/errors.ts'
import type { Json } from '../../daemon/contract/json.ts'
import type { DeviceContext, RunningDevice } from '../../daemon/contract/plugin.ts'
import { appendTo } from './append/append.ts'
import { Claims } from './append/claims.ts'
import { CaptureState, captureMachine } from './capture/capture.machine.ts'
import type { ReceiptConfig, TillConfig } from './config.ts'
import { KEEP_BYTES, Kept } from './keep.ts'
import { Look } from './look.ts'
import type { Payments } from './payments.ts'
import { type LinkError, linkTo } from './printer/link.ts'
import { Receipts } from './receipts.ts'
import { Forward } from './relay/forward.ts'
import { Gate } from './relay/gate.ts'
import { compileTemplate, extract, type Template, type TemplateConfig } from './template/extract.ts'

type Device = DeviceContext<TillConfig, ReceiptConfig>

/** Tills that may wait for the printer. */
const WAITING_MOST = 16
/** What is printing when the plugin stops may go on for so long. */
const GRACE_MS = 2_000
/** And what has been captured may take so long to be stored. */
const STORE_MS = 1_200

/** Claims of all tills, for the portal's events. */
export type ClaimBook = Map<string, Claims>

export async function startTill(device: Device, payments: Payments, book: ClaimBook): Promise<RunningDevice> {
  const till = new Till(device, payments, book)
  await till.start()
  return till
}

class Till implements RunningDevice {
  readonly #device: Device
  readonly #payments: Payments
  readonly #book: ClaimBook
  readonly #claims: Claims
  readonly #kept: Kept
  readonly #template: Template | undefined
  readonly #receipts: Receipts
  readonly #look: Look
  #gate: Gate | undefined
  #leave = (): void => {}
  #skipped: Record<string, number> = {}
  #broken = 0
  #printer: string | undefined

  constructor(device: Device, payments: Payments, book: ClaimBook) {
    const { config, shared } = device
    this.#device = device
    this.#payments = payments
    this.#book = book
    this.#claims = new Claims(device.pseudonym, device.store, device.clock)
    this.#kept = new Kept(device.store, device.clock, shared.keep)
    this.#template = config.template && templateOf(config.template)
    this.#receipts = new Receipts({ device, template: this.#template, payments, kept: this.#kept, claims: this.#claims })
    this.#look = new Look(this.#kept, config)
  }

  async start(): Promise<void> {
    const { config, clock, log, signal, name } = this.#device
    await this.#kept.open()
    await this.#claims.tidy()
    this.#gate = new Gate({
      listen: config.listen,
      openPrinter: await linkTo(config.printer, config, clock),
      limits: { shareMs: config.shareMs, stuckMs: config.stuckMs, waiting: WAITING_MOST },
      quietMs: config.quietMs,
      clock,
      log,
      signal,
      forward: (write, broken) => this.#forward(write, broken),
      printer: (there, why) => this.#saw(there, why),
    })
    warmUp(config, this.#template)
    await this.#gate.listen()
    this.#leave = this.#payments.till(name, (matched) => this.#receipts.matched(matched))
    this.#book.set(name, this.#claims)
    this.#device.state({ state: 'online' })
  }

  async handle({ command, args }: Command): Promise<Json> {
    switch (command) {
      case 'status':
        return this.#status()
      case 'receipts':
        return this.#look.list(args as { limit?: number })
      case 'render':
        return this.#look.render(args as { receipt: string; format: 'svg' | 'png' | 'text' })
      case 'learn':
        return this.#look.learn(args as { receipts?: number; template?: TemplateConfig })
      case 'erase':
        return this.#erase(args as { receipt?: string; before?: string; all?: true })
      case 'claim':
        return { ...(await this.#claims.look((args as { claim: string }).claim, new Date(this.#device.clock.wall()).toISOString())) }
      default:
        throw new Failure('command-unknown', `a till's printer knows claim, erase, learn, receipts, render and status, not "${command}"`)
    }
  }

  async stop(): Promise<void> {
    this.#leave()
    if (this.#book.get(this.#device.name) === this.#claims) this.#book.delete(this.#device.name)
    await this.#gate?.close(GRACE_MS)
    await this.#receipts.drained(STORE_MS)
  }

  #forward(write: (bytes: Buffer) => void, broken: (error: unknown) => void): Forward {
    const { config } = this.#device
    const { append } = config
    const template = this.#template ?? templateOf({})
    const parts = append && {
      config: { ...config, append },
      template,
      claims: this.#claims,
      skipped: (why: string) => {
        this.#skipped[why] = (this.#skipped[why] ?? 0) + 1
      },
    }
    return new Forward({
      capture: config,
      keepBytes: KEEP_BYTES,
      write,
      ...(parts ? { append: (paper, cut) => appendTo(parts, paper, cut) } : {}),
      captured: (captured) => this.#receipts.captured(captured),
      drawer: () => {
        this.#receipts.counters.drawer += 1
      },
      broken: (error) => {
        this.#broken += 1
        broken(error)
      },
    })
  }

  #saw(there: boolean, why?: LinkError): void {
    const detail = there ? undefined : (why?.why ?? 'unreachable')
    if (detail === this.#printer) return
    this.#printer = detail
    if (detail === undefined) this.#device.state({ state: 'online' })
    else {
      this.#device.log.warn(
        { printer: this.#device.config.printer, detail, cause: why?.message ?? '' },
        'the printer cannot be reached; the till sees it closed',
      )
      this.#device.state({ state: 'offline', detail: `printer-${detail}` })
    }
  }

  #status(): Json {
    const { listen, printer } = this.#device.config
    const gate = this.#gate
    return {
      till: this.#receipts.till,
      listen,
      printer,
      state: this.#printer === undefined ? 'online' : 'offline',
      ...(this.#printer === undefined ? {} : { detail: `printer-${this.#printer}` }),
      printing: gate?.busy ?? false,
      tillsWaiting: gate?.waiting ?? 0,
      connections: gate?.connections ?? 0,
      refused: gate?.refused ?? 0,
      ...this.#receipts.counters,
      waiting: this.#receipts.waiting,
      unread: this.#broken,
      notAppended: this.#skipped,
    }
  }

  async #erase({ receipt, before, all }: { receipt?: string; before?: string; all?: true }): Promise<Json> {
    if ([receipt, before, all].filter((one) => one !== undefined).length !== 1)
      throw new Failure('args-invalid', 'args: must have exactly one of receipt, before and all')
    const at = before === undefined ? undefined : Date.parse(before)
    if (at !== undefined && Number.isNaN(at)) throw new Failure('args-invalid', 'args.before: must be a time like 2026-11-25T00:00:00Z')
    return {
      erased: await this.#kept.erase({ ...(receipt === undefined ? {} : { receipt }), ...(at === undefined ? {} : { before: at }) }),
    }
  }
}

/** The first receipt would wait some 50 ms for tables to be loaded and code to be compiled. */
function warmUp({ encoding, width, currency, decimal }: TillConfig, template: Template | undefined): void {
  const sample = Buffer.concat([
    Buffer.from([0x1b, 0x40, 0x1b, 0x61, 1]),
    Buffer.alloc(40, 0xb1),
    Buffer.from('\nTea 1 2.00 2.00\n\x1dV\x00', 'latin1'),
  ])
  for (let round = 0; round < 20; round += 1) {
    for (const effect of captureMachine.step(new CaptureState({ encoding, width }), { kind: 'bytes', chunk: sample }))
      if (effect.kind === 'receipt' && template) extract(template, effect.paper.lines, { currency, decimal })
  }
}

function templateOf(config: TemplateConfig): Template {
  const { template, problems } = compileTemplate(config)
  const [first] = problems
  if (first) {
    const listed = problems.map(({ path, message }) => ({ path: `template.${path}`, message }))
    throw new Failure('config-invalid', listed.map(({ path, message }) => `${path}: ${message}`).join('; '), listed)
  }
  return template
}
