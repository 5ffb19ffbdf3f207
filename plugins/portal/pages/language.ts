import type { Text } from '../config.ts'

export const LANGUAGES = ['zh', 'en'] as const
export type Language = (typeof LANGUAGES)[number]

export const isLanguage = (text: string | undefined): text is Language => text === 'zh' || text === 'en'

/** The better of ours by an Accept-Language header (RFC 9110, 12.5.4); English for those who ask for neither, Chinese for those who say nothing. */
export function preferred(header: string | undefined): Language {
  if (header === undefined) return 'zh'
  let best: { language: Language; q: number } | undefined
  for (const part of header.slice(0, 500).split(',')) {
    const [tag = '', ...parameters] = part.trim().toLowerCase().split(';')
    const language = tag.split('-')[0]
    if (!isLanguage(language)) continue
    const q = Number(parameters.map((one) => /^\s*q=([0-9.]+)\s*$/.exec(one)?.[1]).find((one) => one !== undefined) ?? '1')
    if (q > 0 && (!best || q > best.q)) best = { language, q }
  }
  return best?.language ?? 'en'
}

/** A text of the config in one language, or in the other where that is all there is. */
export function textIn(text: Text | undefined, language: Language): string {
  if (text === undefined || typeof text === 'string') return text ?? ''
  return text[language] ?? text.zh ?? text.en ?? ''
}
