/** Who sends the messages: a webhook, or HQ. */
import { Failure } from '../../../daemon/contract/errors.ts'
import type { PluginContext } from '../../../daemon/contract/plugin.ts'
import type { SmsConfig } from '../config.ts'
import { secretOf } from '../files.ts'

const TIMEOUT_MS = 8_000

export interface SmsMessage {
  /** E.164 digits, without the plus. */
  phone: string
  code: string
  text: string
  language: string
}

/** Resolves when the message is on its way. Rejects with a `Failure` that names neither phone nor code. */
export type SmsSender = (message: SmsMessage) => Promise<void>

export function createSmsSender(context: Pick<PluginContext, 'ask' | 'signal'>, config: SmsConfig): SmsSender {
  if (config.via === 'hq')
    return async (message) => {
      await context.ask('sms', { ...message }, { timeoutMs: TIMEOUT_MS })
    }
  const { url } = config
  if (url === undefined)
    throw new Failure('config-invalid', 'plugins.portal.sms.url: is missing; the webhook that sends the messages, or via: hq')
  return async (message) => {
    const secret = secretOf('plugins.portal.sms.secretFile', config.secret, config.secretFile)
    let status: number
    try {
      const answer = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...(secret ? { authorization: `Bearer ${secret}` } : {}) },
        body: JSON.stringify(message),
        redirect: 'error',
        signal: AbortSignal.any([AbortSignal.timeout(TIMEOUT_MS), context.signal]),
      })
      status = answer.status
      await answer.body?.cancel()
    } catch {
      throw new Failure('device-offline', 'the SMS webhook could not be reached')
    }
    if (status < 200 || status > 299) throw new Failure('device-fault', `the SMS webhook answered ${status}`)
  }
}
