/** Speed limits: HTB on the guest interface for what guests get, on an ifb for what they send (tc-htb(8)). Set up when the first limit comes. */
import { existsSync } from 'node:fs'
import type { Logger } from '../../../daemon/contract/plugin.ts'
import type { AccessChange } from './access.machine.ts'
import { classScript, dropScript, type NetLimits, shapingScript } from './change-script.ts'
import { complaint, isInstalled, run } from './programs.ts'
import { UP_DEVICE } from './ruleset.ts'

export class Shaping {
  readonly #guests: string
  readonly #limits: NetLimits
  readonly #log: Logger
  #isOn = false
  #isFairQueue: boolean | undefined

  constructor(guests: string, limits: NetLimits, log: Logger) {
    this.#guests = guests
    this.#limits = limits
    this.#log = log
  }

  get isOn(): boolean {
    return this.#isOn
  }

  get isWanted(): boolean {
    return this.#limits.downKbps !== undefined || this.#limits.upKbps !== undefined
  }

  /** Builds the trees from nothing. Undefined, or why there can be no limits. */
  async build(): Promise<string | undefined> {
    if (!isInstalled('tc')) return 'the program tc is not installed: apt-get install iproute2'
    const made = await run('ip', ['link', 'add', UP_DEVICE, 'type', 'ifb'])
    if (made.code !== 0 && !made.stderr.includes('File exists')) return `this kernel has no ifb device (CONFIG_IFB): ${complaint(made)}`
    // The end of a predecessor's tree, or what the system had: a root cannot be changed in place.
    await run('tc', ['qdisc', 'del', 'dev', this.#guests, 'root'])
    await run('tc', ['qdisc', 'del', 'dev', UP_DEVICE, 'root'])
    const set = await tc(shapingScript(this.#guests, this.#limits))
    const up = await run('ip', ['link', 'set', UP_DEVICE, 'up'])
    if (set !== undefined || up.code !== 0) return `this kernel has no HTB (CONFIG_NET_SCH_HTB): ${set ?? complaint(up)}`
    this.#isOn = true
    await this.#queueFairly([2])
    return undefined
  }

  async limit(classes: AccessChange['classes']): Promise<void> {
    if (classes.length === 0) return
    const problem = await tc(classScript(this.#guests, classes))
    if (problem !== undefined) this.#log.warn({ reason: problem }, 'a speed limit could not be set')
    await this.#queueFairly(classes.map(({ minor }) => minor))
  }

  async drop(classes: AccessChange['dropClasses']): Promise<void> {
    if (classes.length > 0) await tc(dropScript(this.#guests, classes), true)
  }

  /** Also what a predecessor left that has been killed: the device for what guests send is there as long as the trees are. */
  async remove(): Promise<void> {
    if (!this.#isOn && !existsSync(`/sys/class/net/${UP_DEVICE}`)) return
    this.#isOn = false
    await run('tc', ['qdisc', 'del', 'dev', this.#guests, 'root'])
    await run('ip', ['link', 'del', UP_DEVICE])
  }

  /** A queue of its own for each flow where the kernel has it, so that one download does not make a call stutter. */
  async #queueFairly(minors: readonly number[]): Promise<void> {
    if (this.#isFairQueue === false) return
    const problem = await tc(
      minors.flatMap((minor) =>
        [this.#guests, UP_DEVICE].map((device) => `qdisc replace dev ${device} parent 1:${minor.toString(16)} fq_codel`),
      ),
      true,
    )
    // The first attempt tells whether it is there; later ones fail for classes of one direction only.
    if (this.#isFairQueue === undefined) this.#isFairQueue = problem === undefined
  }
}

async function tc(lines: string[], force = false): Promise<string | undefined> {
  const done = await run('tc', [...(force ? ['-force'] : []), '-batch', '-'], `${lines.join('\n')}\n`)
  return done.code === 0 ? undefined : complaint(done)
}
