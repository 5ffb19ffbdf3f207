/** Our tables in the kernel: a change of the access machine becomes one nft transaction, and others' hands on them are noticed. */
import type { Logger } from '../../../daemon/contract/plugin.ts'
import type { AccessChange } from './access.machine.ts'
import type { Mac, NetworkConfig } from './api.ts'
import { changeScript } from './change-script.ts'
import { foreignDrops } from './foreign-rules.ts'
import type { GuestSubnet } from './guest-subnet.ts'
import type { HealthBoard } from './health-board.ts'
import { applyScript, rulesAsTheyAre, wholeRuleset } from './nft.ts'
import { outsideElements, type RulesetOptions, ruleset } from './ruleset.ts'
import type { Shaping } from './shaping.ts'
import type { Uplink } from './uplink.ts'

export type Outcome = { kind: 'done' | 'again' } | { kind: 'failed'; message: string }

export interface GuestTablesParts {
  config: NetworkConfig
  subnet: GuestSubnet
  ports: RulesetOptions['ports']
  shaping: Shaping
  board: HealthBoard
  log: Logger
  /** As it is known now. */
  uplink: () => Uplink
  /** Where answers to this client go. */
  addressesOf: (mac: Mac) => readonly string[]
  /** The counters are about to be set to nothing: they are read once more. */
  beforeReset: () => Promise<unknown>
  /** Every table has been made anew. */
  loaded: () => void
}

export class GuestTables {
  readonly #parts: GuestTablesParts
  /** The rules as the kernel lists them right after they were loaded. */
  #rules = ''
  #warnedOf = ''

  constructor(parts: GuestTablesParts) {
    this.#parts = parts
  }

  /** One nft transaction, and one tc call where there are limits. */
  async apply(change: AccessChange): Promise<Outcome> {
    const { shaping, board } = this.#parts
    if (!change.whole && change.classes.length > 0 && !shaping.isOn && !board.has('no-speed-limits')) {
      await this.#parts.beforeReset()
      await this.#shape()
      // The hook that sorts packets comes with the tables.
      if (shaping.isOn) return { kind: 'again' }
    }
    if (change.whole && (shaping.isOn || shaping.isWanted || change.classes.length > 0)) await this.#shape()
    const shaped = shaping.isOn ? change : { ...change, sort: [] }
    const script = `${change.whole ? this.#empty() : ''}${changeScript(shaped, this.#parts.addressesOf)}`
    const [problem] = await Promise.all([
      script === '' ? undefined : applyScript(script),
      shaping.isOn ? shaping.limit(change.classes) : undefined,
    ])
    if (problem !== undefined) return { kind: 'failed', message: problem }
    if (shaping.isOn) await shaping.drop(change.dropClasses)
    if (change.whole) {
      this.#rules = await rulesAsTheyAre()
      this.#parts.loaded()
    }
    return { kind: 'done' }
  }

  /** The uplink is another one now: which way guests leave, and what they may not reach there. What nft says against it, if anything. */
  followUplink(): Promise<string | undefined> {
    return applyScript(outsideElements(this.#parts.uplink()))
  }

  /** Whether nobody has changed the rules since they were loaded. */
  async areAsLoaded(): Promise<boolean> {
    return (await rulesAsTheyAre()) === this.#rules
  }

  /** Others' rules that stop guests whatever ours say. */
  async lookForDrops(): Promise<void> {
    const { config, board, log } = this.#parts
    const chains = foreignDrops(await wholeRuleset(), config.interface)
      .map(({ chain }) => chain)
      .join(', ')
    if (chains !== '' && chains !== this.#warnedOf)
      log.warn(
        { chains },
        'other rules drop what they do not know, and only they can let guests pass: accept the guest interface there, in forward to and from the uplink, in input udp 53, 67, tcp 53 and the portal',
      )
    this.#warnedOf = chains
    board.set('foreign-drop', chains === '' ? undefined : chains)
  }

  /** Every table anew, without the clients. */
  #empty(): string {
    const { config, subnet, ports, shaping, uplink } = this.#parts
    return `${ruleset({ interface: config.interface, subnet, ports, isolate: config.isolate, shaped: shaping.isOn })}${outsideElements(uplink())}`
  }

  async #shape(): Promise<void> {
    const { shaping, board, log } = this.#parts
    const problem = await shaping.build()
    if (problem !== undefined) log.warn({ reason: problem }, 'speed limits are not in effect; guests are online without')
    board.set('no-speed-limits', problem)
  }
}
