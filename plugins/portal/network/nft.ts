/** nft(8) as the controller uses it. */
import type { Mac, Usage } from './api.ts'
import { complaint, type Finished, run } from './programs.ts'
import { REMOVAL, TABLE } from './ruleset.ts'

/** One transaction: all of it, or nothing and the reason. */
export async function applyScript(script: string): Promise<string | undefined> {
  const done = await run('nft', ['-f', '-'], script)
  return done.code === 0 ? undefined : reason(done)
}

export const removeTables = (): Promise<string | undefined> => applyScript(`${REMOVAL}\n`)

/** Our rules without what changes all the time: equal as long as nobody has touched them. Empty where one of the tables is missing. */
export async function rulesAsTheyAre(): Promise<string> {
  // One call each: nft 1.0.6 finds only the first table when it is asked for two.
  const both = await Promise.all(['inet', 'netdev'].map((family) => run('nft', ['--stateless', '--terse', 'list', 'table', family, TABLE])))
  return both.every(({ code }) => code === 0) ? both.map(({ stdout }) => stdout).join('') : ''
}

/** Everybody's rules as JSON, without what is in the sets. */
export const wholeRuleset = async (): Promise<string> => (await run('nft', ['-j', '--terse', 'list', 'ruleset'])).stdout

/** Counters and who is online; undefined when the tables are not there. */
export async function readCounters(): Promise<{ usage: Usage[]; online: Set<Mac> } | undefined> {
  const [up, down, online] = await Promise.all([elements('inet', 'up'), elements('netdev', 'down'), elements('inet', 'online')])
  if (!up || !down || !online) return undefined
  const usage = new Map<Mac, Usage>()
  for (const [key, list] of [
    ['bytesUp', up],
    ['bytesDown', down],
  ] as const)
    for (const element of list) {
      const mac = macOf(element)
      const one = usage.get(mac) ?? { mac, bytesUp: 0, bytesDown: 0 }
      if (typeof element === 'object') one[key] = element.elem.counter?.bytes ?? 0
      usage.set(mac, one)
    }
  return { usage: [...usage.values()], online: new Set(online.map(macOf)) }
}

async function elements(family: string, set: string): Promise<Element[] | undefined> {
  const { code, stdout } = await run('nft', ['-j', 'list', 'set', family, TABLE, set])
  if (code !== 0) return undefined
  const { nftables } = JSON.parse(stdout) as { nftables: { set?: { elem?: Element[] } }[] }
  return nftables.find((row) => row.set)?.set?.elem ?? []
}

type Element = Mac | { elem: { val: Mac; counter?: { bytes: number } } }

const macOf = (element: Element): Mac => (typeof element === 'string' ? element : element.elem.val)

/** nft names the line of its input; ours is made, so only the reason is of use. */
function reason(done: Finished): string {
  return complaint(done).replace(/^\S*:\d+:\d+-\d+: /, '')
}
