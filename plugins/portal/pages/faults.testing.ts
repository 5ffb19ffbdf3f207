/** What breaks WCAG 2.2 AA on the page as it is now: contrast, names, sizes, language, headings, overflow. JavaScript, for the page. */
export const FAULTS = String.raw`(() => {
  const found = []
  const luminance = (colour) => {
    const [r = 0, g = 0, b = 0] = (colour.match(/[\d.]+/g) || []).map(Number).map((one) => {
      const channel = one / 255
      return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const background = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor
      if (!/, 0\)$|transparent/.test(colour)) return colour
    }
    return 'rgb(255, 255, 255)'
  }
  let looked = 0
  for (const element of document.querySelectorAll('body *')) {
    const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())
    if (!text || element.closest('svg') || !element.offsetParent) continue
    looked++
    const [a, b] = [luminance(getComputedStyle(element).color), luminance(background(element))]
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
    if (ratio < 4.5) found.push('contrast ' + ratio.toFixed(2) + ': ' + element.textContent)
  }
  if (looked < 2) found.push('nothing to look at')
  for (const element of document.querySelectorAll('a, button, input, summary')) {
    const box = element.getBoundingClientRect()
    if (box.width === 0 || element.type === 'hidden') continue
    const target = element.type === 'checkbox' ? element.closest('label').getBoundingClientRect() : box
    // A link inside a sentence is exempt (2.5.8, "Inline").
    if (target.height < 44 && !element.closest('p')) found.push('target of ' + Math.round(target.height) + ' px: ' + (element.textContent || element.name))
    const label = element.id ? document.querySelector('label[for="' + element.id + '"]') : null
    if (!(element.textContent || (label && label.textContent) || '').trim()) found.push('no name: ' + element.outerHTML.slice(0, 80))
  }
  for (const image of document.querySelectorAll('img:not([alt]), body > svg:not([aria-label]), li svg:not([aria-label])')) found.push('no text: ' + image.outerHTML.slice(0, 60))
  if (!document.documentElement.lang) found.push('no language')
  if (document.querySelectorAll('h1').length !== 1) found.push('not one h1')
  if (document.documentElement.scrollWidth > innerWidth) found.push('scrolls sideways: ' + document.documentElement.scrollWidth + ' > ' + innerWidth)
  return found
})()`
