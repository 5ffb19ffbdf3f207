/** Simulated providers on real HTTP and the plugin that talks to them, for the tests of this folder. */
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { Json, JsonObject } from '../../daemon/contract/json.ts'
import type { Clock, MonoMs, WallMs } from '../../daemon/contract/plugin.ts'
import { HandClock } from '../../daemon/testing/hand-clock.ts'
import { type HarnessOptions, PluginHarness } from '../../daemon/testing/plugin-harness.ts'
import { MERCHANT_PRIVATE, MERCHANT_PUBLIC, PROVIDER_PRIVATE, PROVIDER_PUBLIC } from './golden.ts'
import start from './plugin.ts'
import { AlipaySimulator } from './simulators/alipay.ts'
import { type SimulatedKeys, simulatedKeys } from './simulators/keys.ts'
import { WechatSimulator } from './simulators/wechat.ts'

export const manifestUrl = new URL('./', import.meta.url)
export const ALIPAY_CODE = '281234567890123456'
export const WECHAT_CODE = '134567890123456789'

/** Making keys takes a while: two known pairs, crosswise, so that no key does where its counterpart or the other provider's is meant. */
const PAIRS = {
  'alipay-app': [MERCHANT_PRIVATE, MERCHANT_PUBLIC],
  alipay: [PROVIDER_PRIVATE, PROVIDER_PUBLIC],
  'wechat-merchant': [PROVIDER_PRIVATE, PROVIDER_PUBLIC],
  'wechat-platform': [MERCHANT_PRIVATE, MERCHANT_PUBLIC],
} as const

let keys: SimulatedKeys | undefined
/** One set for a test file. */
export const testKeys = (): SimulatedKeys => {
  if (keys) return keys
  const dir = mkdtempSync(join(tmpdir(), 'shopwire-pay-keys-'))
  for (const [name, [secret, open]] of Object.entries(PAIRS)) {
    writeFileSync(join(dir, `${name}.pem`), secret, { mode: 0o600 })
    writeFileSync(join(dir, `${name}.pub.pem`), open)
  }
  keys = simulatedKeys(dir)
  return keys
}

export interface PayShop {
  alipay: AlipaySimulator
  wechat: WechatSimulator
  shop: PluginHarness
  config: JsonObject
  /** kill -9: a copy of what was durable at that moment; the process is gone. */
  crash(): Promise<Map<string, Json>>
  restart(durable: Map<string, Json>): Promise<PluginHarness>
  open(order: string, amount: number, more?: JsonObject): Promise<JsonObject>
  code(code?: string, till?: string): Promise<JsonObject>
  status(order: string): Promise<JsonObject>
  /** Waits until the payment of the order is in this state. */
  is(order: string, status: string): Promise<JsonObject>
  /** Everybody has waited so long that they give up. */
  patienceEnds(): void
}

/** The plugin's clock runs so many times faster: what takes a shop half a minute takes a test a moment. */
const FAST = 20
const TICK_MS = 5
/** ms of that clock, but for `timeoutMs`, which the HTTP clients keep. Nobody gives up because the machine is busy: see `patienceEnds`. */
export const QUICK = { timeoutMs: 20_000, queryMs: 1_000, giveUpMs: 600_000, undoAfterMs: 0, settleMs: 6_000 }
/** An hour, of which the fast clock makes three minutes. */
const EXPIRES_SECONDS = 3_600

/**
 * The plugin's clock. It goes by how often this process, in which the providers are, too, comes round: held up for seconds, nobody in it
 * has waited for seconds. The time of day is the machine's.
 */
class ShopClock implements Clock {
  readonly wall: () => WallMs
  readonly #hand = new HandClock()
  readonly #ticks = setInterval(() => this.#hand.advance(TICK_MS * FAST), TICK_MS)

  constructor(wall = () => Date.now() as WallMs) {
    this.wall = wall
  }

  mono(): MonoMs {
    return this.#hand.mono()
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return this.#hand.sleep(ms, signal)
  }

  timer(ms: number, run: () => void): () => void {
    return this.#hand.timer(ms, run)
  }

  patience(ms: number, over: () => void): () => void {
    return this.#hand.timer(ms, over)
  }

  /** All of it at once. */
  jump(ms: number): void {
    this.#hand.jump(ms)
  }

  stop(): void {
    clearInterval(this.#ticks)
  }
}

interface PayShopOptions extends Partial<Omit<HarnessOptions, 'clock'>> {
  /** The time of day. */
  wall?: () => WallMs
}

export async function payShop(t: Test, extra: JsonObject = {}, { wall, ...options }: PayShopOptions = {}): Promise<PayShop> {
  const made = testKeys()
  // The vendors' libraries open hundreds of files: on a busy machine a first charge would wait for them longer than any story does.
  await Promise.all([import('./providers/alipay.ts'), import('./providers/wechat.ts')])
  const alipay = new AlipaySimulator(made.alipay, made.appId)
  const wechat = new WechatSimulator(made.wechat, 0)
  const [alipayPort, wechatPort] = await Promise.all([alipay.listen(), wechat.listen()])
  const { alipay: ownAlipay, wechat: ownWechat, ...rest } = extra
  const merged = {
    alipay: { ...made.config.alipay, gateway: `http://127.0.0.1:${alipayPort}/gateway.do`, ...QUICK, ...(ownAlipay as JsonObject) },
    wechat: { ...made.config.wechat, endpoint: `http://127.0.0.1:${wechatPort}/`, ...QUICK, ...(ownWechat as JsonObject) },
    warm: false,
    expiresInSeconds: EXPIRES_SECONDS,
    ...rest,
  }
  const clock = new ShopClock(wall)
  // What a test sets to undefined is left out.
  const config = JSON.parse(JSON.stringify(merged)) as JsonObject
  const launch = (store: Map<string, Json>) =>
    PluginHarness.start({ start: start as unknown as HarnessOptions['start'], manifestUrl, config, clock, ...options, store })
  const running: PluginHarness[] = []
  t.teardown(async () => {
    for (const one of running) await one.stop()
    clock.stop()
    await alipay.close()
    await wechat.close()
  })
  let shop = await launch(options.store ?? new Map())
  running.push(shop)
  const made2: PayShop = {
    alipay,
    wechat,
    config,
    get shop() {
      return shop
    },
    async crash() {
      const durable = structuredClone(shop.store)
      await shop.stop()
      return durable
    },
    async restart(durable) {
      shop = await launch(durable)
      running.push(shop)
      return shop
    },
    open: async (order, amount, more = {}) => (await shop.command('-', 'open', { order, amount, till: 'till-1', ...more })) as JsonObject,
    code: async (code = ALIPAY_CODE, till = 'till-1') =>
      (await shop.command('-', 'code', { code, channel: code.startsWith('1') ? 'wechat' : 'alipay', scanner: till })) as JsonObject,
    async status(order) {
      const { payments } = (await shop.command('-', 'payments', { order })) as { payments: JsonObject[] }
      return payments[0] ?? {}
    },
    async is(order, status) {
      const end = performance.now() + 100_000
      for (;;) {
        const seen = await made2.status(order)
        if (seen.status === status) return seen
        if (performance.now() > end) throw new Error(`waited for ${order} to be ${status}; it is ${JSON.stringify(seen)}`)
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
    },
    patienceEnds: () => clock.jump(QUICK.giveUpMs),
  }
  return made2
}

/** Everything the plugin has let out of its hands. */
export const everything = (shop: PluginHarness): string => JSON.stringify([shop.events, shop.states, shop.logs, [...shop.store]])
