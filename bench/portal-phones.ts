/**
 * Phones as one program: each from its own address, speaking only HTTP. What comes back from a probe is followed to a page, the page's one form is
 * sent, until the probe says that the phone is online. `node portal-phones.ts '{"ips":[…],"atOnce":1,"deadlineMs":60000,"internet":"11.22.33.1"}'`
 * prints one JSON line a phone.
 */
import { request } from 'node:http'

interface Setting {
  ips: string[]
  /** How many go at the same time. */
  atOnce: number
  deadlineMs: number
  /** Where the probe goes. */
  internet: string
}

export interface PhoneResult {
  ip: string
  ok: boolean
  /** From the click on the button until a probe passed. */
  clickMs: number
  /** From the first probe until a probe passed. */
  joinMs: number
  error?: string
}

interface Answer {
  status: number
  location: string | undefined
  body: string
}

const { ips, atOnce, deadlineMs, internet } = JSON.parse(process.argv[2] ?? '') as Setting

/** One connection a request, as a phone's portal window that has just been opened makes it. */
function http(method: string, url: URL, ip: string, form?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers: Record<string, string> = { 'User-Agent': 'Mozilla/5.0 (Linux; Android 14)', Accept: 'text/html', Connection: 'close' }
    if (form !== undefined) {
      headers['Content-Type'] = 'application/x-www-form-urlencoded'
      headers['Content-Length'] = String(Buffer.byteLength(form))
    }
    const target = url.hostname === PROBE.hostname ? internet : url.hostname
    headers.Host = url.host
    const call = request(
      {
        method,
        host: target,
        port: url.port || 80,
        path: `${url.pathname}${url.search}`,
        headers,
        localAddress: ip,
        agent: false,
        timeout: 120_000,
      },
      (response) => {
        let body = ''
        response.setEncoding('utf8')
        response.on('data', (chunk: string) => {
          body += chunk
        })
        response.on('end', () => resolve({ status: response.statusCode ?? 0, location: response.headers.location, body }))
        response.on('error', reject)
      },
    )
    call.on('timeout', () => call.destroy(new Error('no answer within 120 s')))
    call.on('error', reject)
    call.end(form)
  })
}

const PROBE = new URL('http://connectivitycheck.gstatic.com/generate_204')

async function follow(start: URL, ip: string, first?: { method: string; form: string }): Promise<{ answer: Answer; at: URL }> {
  let at = start
  let answer = await http(first?.method ?? 'GET', at, ip, first?.form)
  for (let hop = 0; hop < 8 && answer.status >= 300 && answer.status < 400 && answer.location !== undefined; hop++) {
    at = new URL(answer.location, at)
    answer = await http('GET', at, ip)
  }
  return { answer, at }
}

const attribute = (tag: string, name: string): string | undefined => {
  const found = new RegExp(`\\b${name}\\s*=\\s*("([^"]*)"|'([^']*)'|([^\\s>]+))`, 'i').exec(tag)
  const value = found?.[2] ?? found?.[3] ?? found?.[4]
  return value
    ?.replaceAll('&amp;', '&')
    .replaceAll('&quot;', '"')
    .replaceAll('&#39;', "'")
    .replaceAll('&#61;', '=')
    .replaceAll('&#38;', '&')
}

/** The first form of the page as a thumb on its button sends it. */
function press(html: string, at: URL): { method: string; url: URL; form: string } | undefined {
  const form = /<form\b[^>]*>([\s\S]*?)<\/form>/i.exec(html)
  if (!form) return undefined
  const fields = new URLSearchParams()
  let pressed = false
  for (const [tag] of (form[1] ?? '').matchAll(/<(?:input|button)\b[^>]*>/gi)) {
    const name = attribute(tag, 'name')
    const type = (attribute(tag, 'type') ?? (tag.startsWith('<button') ? 'submit' : 'text')).toLowerCase()
    const isButton = type === 'submit'
    if (name === undefined || (isButton && pressed)) continue
    if (isButton) pressed = true
    fields.append(name, attribute(tag, 'value') ?? (type === 'checkbox' ? 'on' : ''))
  }
  const open = form[0].slice(0, form[0].indexOf('>') + 1)
  const method = (attribute(open, 'method') ?? 'get').toUpperCase()
  const url = new URL(attribute(open, 'action') || at.href, at)
  if (method === 'POST') return { method, url, form: fields.toString() }
  url.search = fields.toString()
  return { method, url, form: '' }
}

async function join(ip: string): Promise<PhoneResult> {
  const began = performance.now()
  let clicked = 0
  const isOnline = async (): Promise<boolean> => (await http('GET', PROBE, ip).catch(() => ({ status: 0 }))).status === 204
  try {
    let { answer, at } = await follow(PROBE, ip)
    if (answer.status === 204) throw new Error('online before the tap')
    while (performance.now() - began < deadlineMs) {
      const tap = press(answer.body, at)
      if (!tap) throw new Error(`no form on ${at.pathname} (${answer.status})`)
      clicked ||= performance.now()
      ;({ answer, at } = await follow(tap.url, ip, tap.method === 'POST' ? tap : undefined))
      if (await isOnline()) return { ip, ok: true, clickMs: performance.now() - clicked, joinMs: performance.now() - began }
      // The last page of some portals has a button that only closes the window.
      if (!/<form\b/i.test(answer.body)) break
    }
    while (performance.now() - began < deadlineMs) {
      if (await isOnline()) return { ip, ok: true, clickMs: performance.now() - clicked, joinMs: performance.now() - began }
      await new Promise((wake) => setTimeout(wake, 20))
    }
    throw new Error('not online in time')
  } catch (error) {
    return { ip, ok: false, clickMs: performance.now() - clicked, joinMs: performance.now() - began, error: String(error) }
  }
}

const waiting = [...ips]
async function worker(): Promise<void> {
  for (let ip = waiting.shift(); ip !== undefined; ip = waiting.shift()) process.stdout.write(`${JSON.stringify(await join(ip))}\n`)
}
await Promise.all(Array.from({ length: Math.min(atOnce, ips.length) }, worker))
