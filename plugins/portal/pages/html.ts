/** The frame around every page: one file, no script, nothing fetched. */
import { createHash } from 'node:crypto'
import { LANGUAGES, type Language } from './language.ts'
import { TEXTS } from './texts.ts'

const ESCAPES: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

export const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (one) => ESCAPES[one] ?? one)

export interface Frame {
  name: string
  /** `#rrggbb` */
  accent: string
  /** `data:` URI. */
  logo?: string
}

/** Black or white on `accent`, whichever reads better (WCAG 2.2, 1.4.3: relative luminance). */
export function onAccent(accent: string): '#000' | '#fff' {
  const [r = 0, g = 0, b = 0] = [1, 3, 5].map((at) => {
    const channel = Number.parseInt(accent.slice(at, at + 2), 16) / 255
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4
  })
  const luminance = 0.2126 * r + 0.7152 * g + 0.0722 * b
  return 1.05 / (luminance + 0.05) >= (luminance + 0.05) / 0.05 ? '#fff' : '#000'
}

/** 44 px is the least a finger hits; inputs of 16 px keep phones from zooming in. */
export function style({ accent }: Frame): string {
  return `:root{color-scheme:light dark;--bg:#fff;--fg:#1b1b1f;--mute:#555961;--line:#767a84;--card:#f1f3f8;--a:${accent};--on:${onAccent(accent)}}
@media(prefers-color-scheme:dark){:root{--bg:#131418;--fg:#ececf1;--mute:#b9bcc6;--line:#8d919c;--card:#202228}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--fg);font:16px/1.5 system-ui,-apple-system,"PingFang SC","Noto Sans CJK SC","Microsoft YaHei",sans-serif;overflow-wrap:anywhere}
header,main{max-width:27rem;margin:auto;padding:0 1.25rem}
header{display:flex;align-items:center;gap:.75rem;padding-top:.75rem;font-weight:600}
header img{height:40px;max-width:120px}
header span{flex:1}
header a{font-weight:400}
a{color:inherit;display:inline-block;padding:10px 0;min-height:44px;min-width:44px}
header a{text-align:right}
p a{padding:0;min-height:0;min-width:0;display:inline;line-height:1.8}
h1{font-size:1.6rem;line-height:1.25;margin:.75rem 0 .25rem}
h2{font-size:1.1rem;margin:0 0 .25rem}
p{margin:.25rem 0 .75rem}
small,.s{font-size:.875rem;color:var(--mute)}
.n{border-left:4px solid var(--a);background:var(--card);padding:.5rem .75rem;border-radius:4px}
form{margin:.75rem 0}
button,.b{display:block;width:100%;min-height:52px;padding:.6rem 1rem;border:1px solid var(--a);border-radius:12px;background:var(--a);color:var(--on);font:inherit;font-weight:600;font-size:1.125rem;text-align:center;text-decoration:none;cursor:pointer}
h1+p+.b+h2{margin-top:1rem}
:focus-visible{outline:3px solid var(--fg);outline-offset:2px}
label{display:block;font-weight:600}
label.c{display:flex;gap:.75rem;align-items:center;font-weight:400;min-height:44px;margin-bottom:.5rem;font-size:.875rem}
input{font:inherit;color:inherit;background:var(--bg);border:1px solid var(--line);border-radius:8px;width:100%;min-height:48px;padding:.5rem .75rem;margin:.25rem 0 .5rem}
label.c input{width:24px;min-height:24px;height:24px;flex:none;margin:0;accent-color:var(--a)}
details,li{border:1px solid var(--line);border-radius:12px;margin:.75rem 0;padding:0 1rem}
summary{padding:.6rem 0;min-height:44px;cursor:pointer;font-weight:600}
ul{list-style:none;padding:0;margin:0}
li,.k{padding:.9rem 1rem;background:var(--card);border:0;border-radius:12px}
svg{display:block;margin:.75rem auto;border-radius:8px;max-width:100%}
code{display:block;text-align:center;font:600 1.1rem/1.4 ui-monospace,monospace;letter-spacing:.06em}`
}

/** The only style that runs is ours; no script, frame, plugin or foreign origin ever does. */
export function policy(css: string): string {
  const hash = createHash('sha256').update(css).digest('base64')
  return `default-src 'none'; style-src 'sha256-${hash}'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`
}

/** `body` is HTML; `switchTo`, where there is one, is the relative link to the same page in another language, `{}` standing for it; `refresh`, when it asks again. */
export function document(
  frame: Frame,
  css: string,
  language: Language,
  title: string,
  body: string,
  switchTo?: string,
  refresh?: string,
): string {
  const texts = TEXTS[language]
  const links = switchTo
    ? LANGUAGES.filter((one) => one !== language)
        .map(
          (one) =>
            `<a href="${escapeHtml(switchTo.replace('{}', one))}" lang="${TEXTS[one].code}" hreflang="${TEXTS[one].code}">${TEXTS[one].language}</a>`,
        )
        .join('')
    : ''
  const logo = frame.logo ? `<img src="${frame.logo}" alt="" height="40">` : ''
  return `<!doctype html><html lang="${texts.code}"><head><meta charset="utf-8"><title>${escapeHtml(title)} · ${escapeHtml(frame.name)}</title><meta name="viewport" content="width=device-width,initial-scale=1"><meta name="color-scheme" content="light dark">${refresh ? `<meta http-equiv="refresh" content="${escapeHtml(refresh)}">` : ''}<style>${css}</style></head><body><header>${logo}<span>${escapeHtml(frame.name)}</span>${links}</header><main>${body}</main></body></html>`
}
