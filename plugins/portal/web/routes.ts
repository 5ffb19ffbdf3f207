/** Which address is what. The path is the only state a phone's portal window keeps: `/t/{form token}/{language}/…`, `/v/{link}/{language}/`. */
import type { Language } from '../pages/language.ts'
import { isLanguage } from '../pages/language.ts'

export type Action = 'connect' | 'sms' | 'verify' | 'code' | 'back'

export type Route =
  | { kind: 'home' }
  | { kind: 'api' }
  | { kind: 'icon' }
  | { kind: 'welcome'; token: string; language: Language }
  | { kind: 'terms'; token: string; language: Language }
  | { kind: 'order'; token: string; language: Language }
  | { kind: 'action'; action: Action; token: string; language: Language }
  | { kind: 'visit'; link: string; language: Language }
  | { kind: 'claim'; token: string }
  | { kind: 'nothing' }

const ACTIONS: ReadonlySet<string> = new Set<Action>(['connect', 'sms', 'verify', 'code', 'back'])
const TOKEN = /^[A-Za-z0-9_-]{8,128}$/

/** `path` as it came, without the query. What is not exactly one of ours is nothing: nothing is ever looked up in a file system. */
export function routeOf(path: string): Route {
  if (path === '/' || path === '/index.html' || path.startsWith('/guest/s/')) return { kind: 'home' }
  if (path === '/captive-portal/api') return { kind: 'api' }
  if (path === '/favicon.ico') return { kind: 'icon' }
  const [, first, token = '', language, last = '', ...more] = path.split('/')
  if (!TOKEN.test(token) || more.length > 0) return { kind: 'nothing' }
  if (first === 'c' && language === undefined) return { kind: 'claim', token }
  if (!isLanguage(language)) return { kind: 'nothing' }
  if (first === 'v' && last === '') return { kind: 'visit', link: token, language }
  if (first !== 't') return { kind: 'nothing' }
  if (last === '') return { kind: 'welcome', token, language }
  if (last === 'terms') return { kind: 'terms', token, language }
  if (last === 'order') return { kind: 'order', token, language }
  return isAction(last) ? { kind: 'action', action: last, token, language } : { kind: 'nothing' }
}

const isAction = (text: string): text is Action => ACTIONS.has(text)
