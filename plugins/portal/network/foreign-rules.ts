/**
 * Rules of others that stop guests whatever ours say: in nftables a drop in any chain is final, and only who set it can lift it. Pure.
 */
import { TABLE } from './ruleset.ts'

interface Row {
  chain?: { family: string; table: string; name: string; hook?: string; policy?: string }
  rule?: { family: string; table: string; chain: string; expr?: unknown }
}

export interface ForeignDrop {
  /** `inet filter forward`. */
  chain: string
  hook: string
}

/**
 * Chains with a drop policy in which nothing names the guest interface. One that names it was made with it in mind; whether it then lets guests
 * through is not judged here.
 */
export function foreignDrops(rulesetJson: string, guests: string): ForeignDrop[] {
  let rows: Row[]
  try {
    rows = (JSON.parse(rulesetJson) as { nftables?: Row[] }).nftables ?? []
  } catch {
    return []
  }
  return rows.flatMap(({ chain }) => {
    if (!chain || chain.table === TABLE || chain.policy !== 'drop') return []
    if (chain.hook !== 'forward' && chain.hook !== 'input') return []
    const ofTable = rows.filter(({ rule }) => rule && rule.family === chain.family && rule.table === chain.table)
    // Anywhere in that table: the chain may jump to where guests are named, or look them up in a set.
    if (JSON.stringify(ofTable).includes(JSON.stringify(guests))) return []
    return [{ chain: `${chain.family} ${chain.table} ${chain.name}`, hook: chain.hook }]
  })
}
