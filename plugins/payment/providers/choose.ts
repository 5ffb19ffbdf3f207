/** Which provider takes what, each loaded when it is first needed: the vendors' libraries open hundreds of files. */
import { asFailure, Failure } from '../../../daemon/contract/errors.ts'
import type { JsonObject } from '../../../daemon/contract/json.ts'
import type { MonoMs, PluginContext } from '../../../daemon/contract/plugin.ts'
import type { PaymentConfig } from '../config.ts'
import type { ProviderHealth } from '../findings.ts'
import type { Payment } from '../payment.ts'
import type { Provider, ProviderName, Timing } from './api.ts'
import { CashProvider } from './cash.ts'
import { HqProvider } from './hq.ts'
import { readKey } from './keys.ts'
import { CERTIFICATE } from './trouble.ts'

const WARM_AFTER_MS = 5_000
/** Order of preference for an order QR where nothing is said. */
const QR = ['alipay', 'wechat', 'hq'] as const

export class Providers {
  readonly #context: PluginContext<PaymentConfig>
  readonly #loaded = new Map<string, Promise<Provider>>()
  readonly #trouble = new Map<string, { reason: string; since: MonoMs }>()
  readonly #answered = new Map<string, MonoMs>()
  #cancelWarm = (): void => {}

  constructor(context: PluginContext<PaymentConfig>) {
    this.#context = context
  }

  start(): void {
    if (!this.#context.config.warm) return
    this.#cancelWarm = this.#context.clock.timer(WARM_AFTER_MS, () => {
      for (const name of ['alipay', 'wechat'] as const) if (this.#has(name)) this.#warm(name)
    })
  }

  stop(): void {
    this.#cancelWarm()
  }

  /** Whose codes of this channel are charged by whom. */
  forChannel(channel: string): ProviderName | undefined {
    const { route, hq } = this.#context.config
    const routed = route[channel as keyof typeof route]
    if (routed !== undefined) return this.#has(routed) ? routed : undefined
    if ((channel === 'alipay' || channel === 'wechat') && this.#has(channel)) return channel
    return hq ? 'hq' : undefined
  }

  forQr(channel: string | undefined): { provider: ProviderName; channel: string } {
    const wanted = channel === undefined ? (this.#context.config.qr ?? QR.find((one) => this.#has(one))) : this.forChannel(channel)
    if (wanted !== undefined && wanted !== 'cash' && this.#has(wanted)) return { provider: wanted, channel: channel ?? wanted }
    throw new Failure(
      'device-unsupported',
      `no provider shows an order QR${channel === undefined ? '' : ` of ${channel}`}: configure plugins.payment`,
    )
  }

  get(name: string): Promise<Provider> {
    const loaded = this.#loaded.get(name)
    if (loaded) return loaded
    const loading = this.#load(name)
    this.#loaded.set(name, loading)
    // Keys that cannot be read now may be readable later.
    loading.catch(() => this.#loaded.delete(name))
    return loading
  }

  async timing(name: string): Promise<Timing> {
    return this.#timingOf(name)
  }

  /** Of the providers of its attempts, as far as they are configured. */
  async timings(payment: Payment): Promise<Record<string, Timing>> {
    return Object.fromEntries(
      payment.attempts.flatMap(({ provider }) => (this.#has(provider as ProviderName) ? [[provider, this.#timingOf(provider)]] : [])),
    )
  }

  /** Notes how a provider does; true when that is news. */
  health(name: string, trouble: string | undefined): boolean {
    const now = this.#context.clock.mono()
    const before = this.#trouble.get(name)
    if (trouble === undefined) this.#answered.set(name, now)
    if (before?.reason === trouble) return false
    if (trouble === undefined) this.#trouble.delete(name)
    else this.#trouble.set(name, { reason: trouble, since: before?.since ?? now })
    return true
  }

  /** The device state's word while a provider does not answer. */
  trouble(): string | undefined {
    for (const [name, { reason }] of this.#trouble) return `${name}-${reason === CERTIFICATE ? 'certificate' : 'no-answer'}`
    return undefined
  }

  status(): JsonObject {
    const names = (['alipay', 'wechat', 'hq', 'cash'] as const).filter((name) => this.#has(name))
    return Object.fromEntries(
      names.map((name) => {
        const trouble = this.#trouble.get(name)
        return [name, { loaded: this.#loaded.has(name), ...(trouble === undefined ? {} : { trouble: trouble.reason }) }]
      }),
    )
  }

  /** Each configured one, its keys read again now. */
  healths(): Promise<ProviderHealth[]> {
    const names = (['alipay', 'wechat', 'hq'] as const).filter((name) => this.#has(name))
    const now = this.#context.clock.mono()
    return Promise.all(
      names.map(async (name): Promise<ProviderHealth> => {
        const keys = await this.#unusable(name)
        const trouble = this.#trouble.get(name)
        const answered = this.#answered.get(name)
        return {
          name,
          ...(keys === undefined ? {} : { keys }),
          ...(answered === undefined ? {} : { answeredMs: now - answered }),
          ...(trouble === undefined ? {} : { trouble: { reason: trouble.reason, ms: now - trouble.since } }),
        }
      }),
    )
  }

  /** Why its keys cannot be used. Files are read again: what is in memory now is gone with the next restart. */
  async #unusable(name: ProviderName): Promise<string | undefined> {
    const { alipay, wechat } = this.#context.config
    const places =
      name === 'alipay'
        ? [alipay?.privateKey, alipay?.alipayPublicKey, alipay?.appCert, alipay?.alipayCert, alipay?.alipayRootCert]
        : name === 'wechat'
          ? [wechat?.privateKey, wechat?.apiV3Key, ...Object.values(wechat?.platformKeys ?? {})]
          : []
    try {
      for (const place of places) if (place !== undefined) await readKey(place)
      await this.get(name)
      return undefined
    } catch (error) {
      const { code, message } = asFailure(error)
      // What a library says of a key may quote it.
      return code === 'secret-unreadable' ? message : 'its keys are not what the provider’s library takes'
    }
  }

  #timingOf(name: string): Timing {
    const { config } = this.#context
    const own = { alipay: config.alipay, wechat: config.wechat, hq: config.hq }[name]
    if (!own) return { queryMs: 1_000, giveUpMs: 1_000, undoAfterMs: 0, settleMs: 0 }
    return { undoAfterMs: 0, ...own }
  }

  #has(name: ProviderName): boolean {
    return name === 'cash' || this.#context.config[name] !== undefined
  }

  #warm(name: ProviderName): void {
    this.get(name)
      .then((provider) => provider.warm())
      .catch((error: unknown) => this.#context.log.error({ provider: name }, `the provider cannot be used: ${(error as Error).message}`))
  }

  async #load(name: string): Promise<Provider> {
    const { alipay, wechat, hq, description } = this.#context.config
    if (name === 'cash') return new CashProvider()
    if (name === 'hq' && hq) return new HqProvider(this.#context, hq)
    if (name === 'alipay' && alipay) return (await import('./alipay.ts')).openAlipay(alipay, description, this.#context.clock)
    if (name === 'wechat' && wechat) return (await import('./wechat.ts')).openWechat(wechat, description, this.#context.clock)
    throw new Failure('payment-state', `provider "${name}" is not configured`)
  }
}
