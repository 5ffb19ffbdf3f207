/** A change of who is online as input for `nft -f -` and `tc -batch -`. Pure. */
import type { AccessChange } from './access.machine.ts'
import { TABLE, UP_DEVICE } from './ruleset.ts'

/** `add` before `delete`: deleting what is not there would fail the whole transaction, and nft 1.0.6 has no `destroy`. */
export function changeScript(change: AccessChange, repliesTo: (mac: string) => readonly string[]): string {
  const lines: string[] = []
  const elements = (verb: 'add' | 'delete', family: 'inet' | 'netdev', set: string, list: readonly string[]): void => {
    if (list.length > 0) lines.push(`${verb} element ${family} ${TABLE} ${set} { ${list.join(', ')} }`)
  }
  const remove = (family: 'inet' | 'netdev', set: string, list: readonly string[]): void => {
    elements('add', family, set, list)
    elements('delete', family, set, list)
  }
  const online = change.online.map(({ mac }) => mac)
  const fresh = change.online.filter((one) => one.fresh)
  if (!change.whole) {
    remove('inet', 'online', [...online, ...change.offline, ...change.purge])
    remove('inet', 'replies4', [...change.offline, ...change.purge].flatMap(repliesTo))
    const recounted = [...fresh.map(({ mac }) => mac), ...change.purge]
    remove('inet', 'up', recounted)
    remove('netdev', 'down', recounted)
  }
  elements(
    'add',
    'inet',
    'online',
    change.online.map(({ mac, seconds }) => `${mac} timeout ${Math.max(1, seconds)}s`),
  )
  const counted = change.whole ? change.online : fresh
  elements(
    'add',
    'inet',
    'up',
    counted.map(({ mac, bytesUp }) => `${mac} counter packets 0 bytes ${bytesUp}`),
  )
  elements(
    'add',
    'netdev',
    'down',
    counted.map(({ mac, bytesDown }) => `${mac} counter packets 0 bytes ${bytesDown}`),
  )
  for (const direction of ['down', 'up'] as const) {
    const sorted = change.sort.filter((one) => one.direction === direction)
    const pairs = (key: 'before' | 'after'): string[] =>
      sorted.flatMap((one) => (one[key] === undefined ? [] : [`${one.mac} : 1:${one[key].toString(16)}`]))
    if (!change.whole) elements('delete', 'netdev', `class_${direction}`, pairs('before'))
    elements('add', 'netdev', `class_${direction}`, pairs('after'))
  }
  return lines.length > 0 ? `${lines.join('\n')}\n` : ''
}

/** What a class is guaranteed: little, so that it borrows from the whole net's class and that one's limit holds (tc-htb(8), "ceil"). */
const GUARANTEED = '8kbit'
/** Stands for no limit. */
const LINE = '10gbit'

export interface NetLimits {
  downKbps?: number
  upKbps?: number
}

/** Builds both trees: class 1 is the whole net, 2 those without a limit of their own. Whatever root qdisc was there gives way. */
export function shapingScript(guests: string, limits: NetLimits): string[] {
  return (
    [
      [guests, limits.downKbps],
      [UP_DEVICE, limits.upKbps],
    ] as const
  ).flatMap(([device, kbps]) => {
    const ceil = kbps === undefined ? LINE : `${kbps}kbit`
    return [
      `qdisc replace dev ${device} root handle 1: htb default 2`,
      `class replace dev ${device} parent 1: classid 1:1 htb rate ${ceil} ceil ${ceil} ${burst(kbps)}`,
      `class replace dev ${device} parent 1:1 classid 1:2 htb rate ${GUARANTEED} ceil ${ceil} ${burst(kbps)}`,
    ]
  })
}

export function classScript(guests: string, classes: AccessChange['classes']): string[] {
  return classes.flatMap(({ minor, downKbps, upKbps }) => [
    ...(downKbps === undefined ? [] : [classLine(guests, minor, downKbps)]),
    ...(upKbps === undefined ? [] : [classLine(UP_DEVICE, minor, upKbps)]),
  ])
}

export function dropScript(guests: string, classes: AccessChange['dropClasses']): string[] {
  return classes.map(({ direction, minor }) => `class del dev ${direction === 'down' ? guests : UP_DEVICE} classid 1:${minor.toString(16)}`)
}

const classLine = (device: string, minor: number, kbps: number): string =>
  `class replace dev ${device} parent 1:1 classid 1:${minor.toString(16)} htb rate ${kbps < 8 ? `${kbps}kbit` : GUARANTEED} ceil ${kbps}kbit ${burst(kbps)}`

/** 20 ms of the rate, and a few whole packets at least: a smaller burst cannot reach the rate with a 100 Hz kernel. */
function burst(kbps: number | undefined): string {
  const bytes = Math.max(16_000, Math.ceil(((kbps ?? 10_000_000) * 1000 * 0.02) / 8))
  return `burst ${Math.min(bytes, 20_000_000)} cburst ${Math.min(bytes, 20_000_000)} quantum 3028`
}
