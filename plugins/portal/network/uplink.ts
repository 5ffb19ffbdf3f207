/** Where the internet is, and which networks lie there. */
import type { NetworkConfig } from './api.ts'
import { networkOf } from './guest-subnet.ts'
import { run } from './programs.ts'
import type { Outside } from './ruleset.ts'

export interface Uplink extends Outside {
  /** Whether it could carry traffic: there, with a carrier and a way out. */
  up: boolean
}

interface Route {
  dev?: string
  metric?: number
  flags?: string[]
}

interface Link {
  ifname?: string
  operstate?: string
  addr_info?: { family?: string; local?: string; prefixlen?: number }[]
}

/** Looks at routes and addresses as they are now. */
export async function findUplink(config: NetworkConfig): Promise<Uplink> {
  const [routes, links] = await Promise.all([
    json<Route>(['-j', '-4', 'route', 'show', 'default']),
    json<Link>(['-j', '-4', 'address', 'show']),
  ])
  const ways = routes
    .filter(({ dev, flags }) => dev !== undefined && dev !== config.interface && !flags?.includes('linkdown') && !flags?.includes('dead'))
    .sort((a, b) => (a.metric ?? 0) - (b.metric ?? 0))
  const uplink = config.uplink === 'auto' ? ways[0]?.dev : config.uplink
  const link = links.find(({ ifname }) => ifname === uplink)
  const subnets = (link?.addr_info ?? []).flatMap(({ local, prefixlen }) => networkOf(`${local}/${prefixlen}`) ?? [])
  const protect = [...config.protect.flatMap((one) => networkOf(one) ?? []), ...subnets]
  const hasWay = ways.some(({ dev }) => dev === uplink)
  // `UNKNOWN` is what devices without a notion of a carrier say (ppp, some LTE sticks).
  const isUp = link !== undefined && hasWay && link.operstate !== 'DOWN'
  return { uplink, protect, up: isUp }
}

async function json<Row>(args: string[]): Promise<Row[]> {
  const { code, stdout } = await run('ip', args)
  if (code !== 0) return []
  try {
    return JSON.parse(stdout || '[]') as Row[]
  } catch {
    return []
  }
}
