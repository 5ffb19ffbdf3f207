/**
 * WCAG 2.2 AA checks that run inside the page. Each function is sent to the browser as text: it may use nothing from
 * outside itself, and the browser's types are not known here.
 */

interface El {
  tagName: string
  textContent: string | null
  innerText: string
  childNodes: Iterable<{ nodeType: number; textContent: string | null }>
  parentElement: El | null
  children: ArrayLike<El>
  getAttribute(name: string): string | null
  getBoundingClientRect(): { width: number; height: number }
  closest(selector: string): El | null
  labels?: Iterable<El> | null
  checkVisibility(options?: object): boolean
}
declare const document: { querySelectorAll(selector: string): Iterable<El>; getElementById(id: string): El | null }
declare const getComputedStyle: (element: El) => { color: string; backgroundColor: string; fontSize: string; fontWeight: string }

/** 1.4.3: text against what lies behind it, 4.5:1, or 3:1 for large text. */
export function contrastFaults(): string[] {
  const parse = (color: string) => (color.match(/[\d.]+/g) ?? []).map(Number)
  const luminance = (color: string) => {
    const [r = 0, g = 0, b = 0] = parse(color).map((one) => {
      const part = one / 255
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const behind = (element: El): string => {
    for (let one: El | null = element; one; one = one.parentElement) {
      const { backgroundColor } = getComputedStyle(one)
      if ((parse(backgroundColor)[3] ?? 1) === 1) return backgroundColor
    }
    return 'rgb(255, 255, 255)'
  }
  const faults: string[] = []
  for (const element of document.querySelectorAll('body *')) {
    const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && (node.textContent ?? '').trim() !== '')
    if (!hasText || ['SCRIPT', 'NOSCRIPT', 'STYLE'].includes(element.tagName) || !element.checkVisibility()) continue
    const style = getComputedStyle(element)
    const [light = 1, dark = 0] = [luminance(style.color), luminance(behind(element))].sort((a, b) => b - a)
    const ratio = (light + 0.05) / (dark + 0.05)
    const size = Number.parseFloat(style.fontSize)
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700)
    if (ratio < (large ? 3 : 4.5)) faults.push(`${element.tagName} "${(element.textContent ?? '').slice(0, 30)}" ${ratio.toFixed(2)}`)
  }
  return faults
}

/** 2.5.8 and better: whatever can be pressed is 44 px high and wide. */
export function targetFaults(): string[] {
  const faults: string[] = []
  for (const element of document.querySelectorAll('a, button, select, summary, input:not([type=hidden])')) {
    if (!element.checkVisibility() || element.getAttribute('class') === 'skip') continue
    const { width, height } = element.getBoundingClientRect()
    if (width < 44 || height < 44)
      faults.push(`${element.tagName} "${(element.textContent ?? '').slice(0, 30)}" ${Math.round(width)}x${Math.round(height)}`)
  }
  return faults
}

/** 1.1.1, 1.3.1, 2.4.6, 4.1.2: controls, sections and pictures have names; ids are unique; headings skip no level. */
export function nameFaults(): string[] {
  const faults: string[] = []
  const nameOf = (element: El): string => {
    const by = element.getAttribute('aria-labelledby')
    if (by !== null) return document.getElementById(by)?.textContent ?? ''
    const labels = [...(element.labels ?? [])].map((one) => one.textContent ?? '').join(' ')
    return element.getAttribute('aria-label') ?? (labels !== '' ? labels : (element.textContent ?? ''))
  }
  for (const element of document.querySelectorAll('a, button, select, summary, section, input:not([type=hidden]):not([aria-hidden])'))
    if (nameOf(element).trim() === '') faults.push(`${element.tagName} has no name`)
  for (const element of document.querySelectorAll('svg:not([aria-hidden=true]), img:not([alt])'))
    faults.push(`${element.tagName} has no text`)
  const ids = new Set<string>()
  for (const element of document.querySelectorAll('[id]')) {
    const id = element.getAttribute('id') ?? ''
    if (ids.has(id)) faults.push(`two elements have the id ${id}`)
    ids.add(id)
  }
  let level = 0
  for (const element of document.querySelectorAll('h1, h2, h3, h4')) {
    const next = Number(element.tagName.slice(1))
    if (next > level + 1) faults.push(`${element.tagName} after level ${level}`)
    level = next
  }
  return faults
}
