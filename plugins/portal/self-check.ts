/** What `shopwire doctor` is told of the portal: the network, the guests' listener asked as a phone would ask it, what was lost. */
import { request } from 'node:http'
import type { JsonObject } from '../../daemon/contract/json.ts'
import type { NetworkHealth } from './network/api.ts'

export interface PortalFacts {
  health: NetworkHealth
  controller: string
  /** Where the guests' pages are served. */
  bind: string
  port: number
  sessions: number
  capacity: number
  /** The heaviest page, bytes, and what one may weigh. */
  pageBytes: number
  pageMost: number
  /** Events that could not be stored. */
  lost: number
}

interface Finding extends JsonObject {
  state: 'ok' | 'warn' | 'fail'
  fact: string
}

const ANSWER_MS = 3_000

/** By the first word of the network's detail. */
const MENDS: Record<string, string> = {
  'uplink-down': 'ip route; is the cable to the router plugged in?',
  'no-interface': 'ip -br link; does plugins.portal.network.interface name the guest network?',
  'dnsmasq-down': 'sudo ss -lunp | grep -E ":(53|67) "   # what holds the ports?',
  'rules-lost': 'sudo nft list ruleset   # what else writes the ruleset?',
  'foreign-drop': 'sudo nft list ruleset | grep -B3 "policy drop"   # let the guest network through',
  'controller-unreachable': 'is plugins.portal.http.url right, and the controller up?',
}

export async function selfCheck(facts: PortalFacts): Promise<JsonObject> {
  const { health, sessions, capacity, pageBytes, pageMost, lost } = facts
  const findings: Finding[] = []
  const network = `network (${facts.controller})`
  if (health.state === 'online' && health.detail === undefined) findings.push({ state: 'ok', fact: `${network} works, ${sessions} online` })
  else
    findings.push({
      state: health.state === 'online' ? 'warn' : 'fail',
      fact: `${network}: ${health.detail ?? health.state}`,
      fix: MENDS[health.detail ?? ''] ?? 'sudo journalctl -u shopwire -n 50',
    })
  const probe = await ask(facts.bind, facts.port)
  findings.push(
    probe === undefined
      ? { state: 'ok', fact: 'probes are answered' }
      : {
          state: 'fail',
          fact: `a probe at ${facts.bind}:${facts.port} was not answered: ${probe}`,
          fix: 'sudo systemctl restart shopwire',
        },
  )
  if (sessions >= capacity)
    findings.push({ state: 'warn', fact: `full: ${sessions} of ${capacity} sessions`, fix: 'raise plugins.portal.session.capacity' })
  if (pageBytes > pageMost)
    findings.push({ state: 'warn', fact: `a page weighs ${pageBytes} bytes, over ${pageMost}`, fix: 'make logo, offers or terms smaller' })
  if (lost > 0) findings.push({ state: 'fail', fact: `${lost} events could not be stored`, fix: 'see storage above' })
  return { findings }
}

/** Undefined when it was answered in time, whatever the answer: this box itself is no guest. */
function ask(host: string, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const sent = request(
      { host, port, path: '/generate_204', headers: { host: 'connectivitycheck.gstatic.com' }, timeout: ANSWER_MS, agent: false },
      (response) => {
        response.resume()
        resolve(undefined)
      },
    )
    sent.on('timeout', () => sent.destroy(new Error(`no answer within ${ANSWER_MS / 1_000} s`)))
    sent.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    sent.end()
  })
}
