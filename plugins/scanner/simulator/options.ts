/** What a simulated scanner is set to, and the command line that says so. */
import { LAYOUT_NAMES, type LayoutName } from '../protocol/hid-layout.ts'
import type { Scene } from './codes.ts'

/** What the scanner is set to, and what is wrong with it. Change it at any time. */
export interface Behaviour {
  prefix: string
  suffix: string
  /** Sends the AIM identifier. */
  aim: boolean
  layout: LayoutName
  /** Bytes a write; 0: the whole code at once. */
  split: number
  /** Each code is read twice. */
  double: boolean
  /** Sends nothing: the trigger is pulled, the line is dead. */
  silent: boolean
  /** Loses this many bytes off the end of each code, suffix included. */
  cut: number
  /** Keeps codes while nobody is connected, as a scanner with a memory does. */
  keep: boolean
}

export const USAGE = `usage: sim scanner [--listen HOST:PORT | --serial PATH | --hid FIFO] [--every 1s | --rate LINES_PER_SECOND]
  [--scene day|sales|products|pay] [--codes FILE] [--seed N] [--count N] [--suffix cr|lf|crlf|none] [--aim] [--layout us|uk|de|fr|es|it]
  [--split BYTES] [--double] [--garbage EVERY_N]`

export interface Options {
  listen?: string
  serial?: string
  hid?: string
  everyMs: number
  rate: number
  scene: Scene
  codes?: string
  seed: number
  count: number
  garbage: number
  behaviour: Partial<Behaviour>
}

const SUFFIXES: Readonly<Record<string, string>> = { cr: '\r', lf: '\n', crlf: '\r\n', none: '' }
const SCENES: readonly string[] = ['day', 'sales', 'products', 'pay'] satisfies Scene[]

/** Undefined when they are wrong. */
export function readOptions(args: readonly string[]): Options | undefined {
  const options: Options = { everyMs: 1_000, rate: 0, scene: 'day', seed: 1, count: Number.POSITIVE_INFINITY, garbage: 0, behaviour: {} }
  const rest = [...args]
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    if (name === '--aim') options.behaviour.aim = true
    else if (name === '--double') options.behaviour.double = true
    else if (!take(options, name, rest.shift())) return undefined
  }
  return options
}

function take(options: Options, name: string, value: string | undefined): boolean {
  if (value === undefined) return false
  const number = Number(value)
  switch (name) {
    case '--listen':
      options.listen = value
      return /:\d+$/.test(value)
    case '--serial':
      options.serial = value
      return true
    case '--hid':
      options.hid = value
      return true
    case '--codes':
      options.codes = value
      return true
    case '--every': {
      const [, amount, unit] = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(value) ?? []
      options.everyMs = Number(amount) * { ms: 1, s: 1_000, m: 60_000 }[(unit ?? 's') as 'ms' | 's' | 'm']
      return options.everyMs > 0
    }
    case '--rate':
      options.rate = number
      return number > 0
    case '--seed':
      options.seed = number
      return Number.isInteger(number)
    case '--count':
      options.count = number
      return number > 0
    case '--garbage':
      options.garbage = number
      return number > 0
    case '--split':
      options.behaviour.split = number
      return number > 0
    case '--suffix':
      options.behaviour.suffix = SUFFIXES[value] ?? ''
      return value in SUFFIXES
    case '--scene':
      options.scene = value as Scene
      return SCENES.includes(value)
    case '--layout':
      options.behaviour.layout = value as LayoutName
      return LAYOUT_NAMES.includes(value as LayoutName)
    default:
      return false
  }
}
