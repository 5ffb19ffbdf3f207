/** `shopwire sim payment`: Alipay's gateway and WeChat Pay's API on this machine, with real signatures, and a merchant's keys to try them. */
import { parseArgs } from 'node:util'
import { AlipaySimulator } from './simulators/alipay.ts'
import { type Faults, type Op, sound } from './simulators/faults.ts'
import { simulatedKeys } from './simulators/keys.ts'
import { MAGIC, type ProviderLedger } from './simulators/ledger.ts'
import { WechatSimulator } from './simulators/wechat.ts'

export { AlipaySimulator } from './simulators/alipay.ts'
export { simulatedKeys } from './simulators/keys.ts'
export { WechatSimulator } from './simulators/wechat.ts'

const USAGE = [
  'usage: shopwire sim payment --keys DIR [--alipay HOST:PORT] [--wechat HOST:PORT] [--fault NAME[=VALUE]]…',
  '  --keys DIR       where the keys are, or are made',
  '  --alipay, --wechat   where to listen; 127.0.0.1:0 and 127.0.0.1:0 unless told',
  '  --fault slow=MS | slow-answer=MS | user-paying=COUNT | confirm=MS | refuse-cancel=COUNT | skew=SECONDS | late=MS | no-funds=COUNT',
  '  --fault lose-answer=OP:COUNT | lose-request=… | answer-twice=… | wrong-signature=… | server-error=… | bad-gateway=… | system-error=…',
  '                   OP: pay, show, query, cancel, refund',
  '  --pay-qr MS      a shopper scans and pays each order QR so long after it was shown',
  `  pay codes that end in ${MAGIC.expired} have expired, in ${MAGIC.poor} belong to somebody without money, in ${MAGIC.password} need a password (3 s)`,
]

type Out = (line: string) => void

/** Runs until the signal; resolves with the exit code. */
export default async function simulate(args: string[], out: Out, signal: AbortSignal): Promise<number> {
  const options = read(args)
  if (typeof options === 'string') {
    for (const line of [options, ...USAGE]) out(line)
    return 2
  }
  const keys = simulatedKeys(options.keys)
  const alipay = new AlipaySimulator(keys.alipay, keys.appId)
  const wechat = new WechatSimulator(keys.wechat)
  alipay.faults = options.faults()
  wechat.faults = options.faults()
  const alipayPort = await alipay.listen(options.alipay.port, options.alipay.host)
  const wechatPort = await wechat.listen(options.wechat.port, options.wechat.host)
  const config = {
    alipay: { ...keys.config.alipay, gateway: `http://${options.alipay.host}:${alipayPort}/gateway.do` },
    wechat: { ...keys.config.wechat, endpoint: `http://${options.wechat.host}:${wechatPort}/` },
  }
  out(`alipay on http://${options.alipay.host}:${alipayPort}/gateway.do, wechat on http://${options.wechat.host}:${wechatPort}/`)
  out(`plugins.payment: ${JSON.stringify(config)}`)
  const told = new Map<string, string>()
  const shown = new Map<string, number>()
  const look = setInterval(() => {
    for (const [name, { ledger }] of [
      ['alipay', alipay],
      ['wechat', wechat],
    ] as const) {
      if (options.payQr !== undefined) payShown(ledger, shown, options.payQr)
      report(name, ledger, told, out)
    }
  }, 100)
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
  clearInterval(look)
  await Promise.all([alipay.close(), wechat.close()])
  return 0
}

/** A line for each trade, and for each change of one. */
function report(name: string, ledger: ProviderLedger, told: Map<string, string>, out: Out): void {
  const now = Date.now()
  for (const number of ledger.trades.keys()) {
    const trade = ledger.find(number, now)
    if (!trade) continue
    const text = `${name} ${number} ${trade.state} ${trade.amount}${trade.refunds.size > 0 ? `, ${ledger.net(trade)} left after refunds` : ''}`
    if (told.get(number) === text) continue
    told.set(number, text)
    out(text)
  }
}

function payShown(ledger: ProviderLedger, shown: Map<string, number>, after: number): void {
  const now = Date.now()
  for (const { qr, state } of ledger.trades.values()) {
    if (qr === undefined || state !== 'waiting') continue
    const since = shown.get(qr) ?? now
    shown.set(qr, since)
    if (now - since >= after) ledger.scan(qr, now)
  }
}

interface Options {
  keys: string
  alipay: { host: string; port: number }
  wechat: { host: string; port: number }
  payQr: number | undefined
  faults: () => Faults
}

function read(args: string[]): Options | string {
  let values: { keys?: string; alipay?: string; wechat?: string; fault?: string[]; 'pay-qr'?: string }
  try {
    const text = { type: 'string' } as const
    values = parseArgs({
      args,
      options: { keys: text, alipay: text, wechat: text, 'pay-qr': text, fault: { ...text, multiple: true } },
    }).values
  } catch (error) {
    return (error as Error).message
  }
  const alipay = address(values.alipay ?? '127.0.0.1:0')
  const wechat = address(values.wechat ?? '127.0.0.1:0')
  if (values.keys === undefined) return '--keys is missing'
  if (!alipay || !wechat) return 'an address is HOST:PORT'
  const payQr = values['pay-qr'] === undefined ? undefined : Number(values['pay-qr'])
  if (payQr !== undefined && !(payQr >= 0)) return '--pay-qr takes ms'
  const wrong = (values.fault ?? []).find((one) => !setFault(sound(), one))
  if (wrong !== undefined) return `no fault "${wrong}"`
  const faults = () => {
    const made = sound()
    for (const one of values.fault ?? []) setFault(made, one)
    return made
  }
  return { keys: values.keys, alipay, wechat, payQr, faults }
}

function address(text: string): { host: string; port: number } | undefined {
  const found = /^([A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\]):(\d{1,5})$/.exec(text)
  return found ? { host: found[1] ?? '', port: Number(found[2]) } : undefined
}

const NUMBERS: Record<
  string,
  'slowMs' | 'slowAnswerMs' | 'userPaying' | 'confirmMs' | 'refuseCancel' | 'skewSeconds' | 'latePayMs' | 'insufficientFunds'
> = {
  slow: 'slowMs',
  'slow-answer': 'slowAnswerMs',
  'user-paying': 'userPaying',
  confirm: 'confirmMs',
  'refuse-cancel': 'refuseCancel',
  skew: 'skewSeconds',
  late: 'latePayMs',
  'no-funds': 'insufficientFunds',
}

const COUNTS: Record<
  string,
  'loseAnswer' | 'loseRequest' | 'answerTwice' | 'wrongSignature' | 'serverError' | 'badGateway' | 'systemError'
> = {
  'lose-answer': 'loseAnswer',
  'lose-request': 'loseRequest',
  'answer-twice': 'answerTwice',
  'wrong-signature': 'wrongSignature',
  'server-error': 'serverError',
  'bad-gateway': 'badGateway',
  'system-error': 'systemError',
}

function setFault(faults: Faults, text: string): boolean {
  const [, name = '', value = '1'] = /^([a-z-]+)(?:=(.+))?$/.exec(text) ?? []
  const number = NUMBERS[name]
  if (number !== undefined) {
    faults[number] = Number(value)
    return !Number.isNaN(faults[number])
  }
  const counts = COUNTS[name]
  const [, op, count = '1'] = /^(pay|show|query|cancel|refund)(?::(\d+))?$/.exec(value) ?? []
  if (counts === undefined || op === undefined) return false
  faults[counts][op as Op] = Number(count)
  return true
}
