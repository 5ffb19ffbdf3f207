/** What a shopper is told when a login did not come about. */
import type { Failure } from '../../../daemon/contract/errors.ts'
import type { Notice, NoticePage } from '../pages/pages.ts'
import type { Action } from './routes.ts'

const FULL_RETRY_SECONDS = 120
/** Nobody stands in a shop and waits longer for a message. */
const SMS_SOON_SECONDS = 120

export type Refusal = { status: number; retryAfter?: number } & (
  | { form: 'welcome'; notice: Notice }
  | { form: 'sms-code' }
  | { form: 'none'; page: NoticePage }
)

export const FULL: Refusal = { status: 503, form: 'none', page: 'full', retryAfter: FULL_RETRY_SECONDS }

/** The form again wherever another try makes sense. Locks and waits carry their seconds as the failure's message. */
export function refusalOf(action: Action, { code, message }: Failure): Refusal {
  switch (code) {
    case 'code-locked':
      return {
        status: 429,
        form: 'welcome',
        notice: { text: 'locked', number: Math.ceil(Number(message) / 60) },
        retryAfter: Number(message),
      }
    case 'code-invalid':
      if (action === 'verify') return { status: 422, form: 'sms-code' }
      return action === 'back'
        ? { status: 403, form: 'welcome', notice: { text: 'linkRefused' } }
        : { status: 422, form: 'welcome', notice: { text: 'codeInvalid' } }
    case 'code-used':
      return { status: 422, form: 'welcome', notice: { text: action === 'verify' ? 'smsGone' : 'codeUsed' } }
    case 'args-invalid':
      return { status: 422, form: 'welcome', notice: { text: 'phoneInvalid' } }
    case 'device-unsupported':
      return { status: 422, form: 'welcome', notice: { text: 'phoneAbroad' } }
    case 'device-fault':
      if (action !== 'sms') break
      return { status: 502, form: 'welcome', notice: { text: 'smsFailed' } }
    case 'forbidden':
      return { status: 403, form: 'none', page: 'bad' }
    case 'queue-full':
      if (action !== 'sms') return FULL
      return {
        status: 429,
        form: 'welcome',
        notice: Number(message) > SMS_SOON_SECONDS ? { text: 'smsMany' } : { text: 'smsWait', number: Number(message) },
        retryAfter: Number(message),
      }
  }
  return { status: 503, form: 'none', page: 'busy', retryAfter: 5 }
}
