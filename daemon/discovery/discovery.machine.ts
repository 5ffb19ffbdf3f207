/** What to make of a look at the machine and the network: what is news, and what is added by itself. */
import type { JsonObject } from '../contract/json.ts'
import type { Machine } from '../contract/machine.ts'
import type { MonoMs } from '../contract/plugin.ts'
import type { Found } from './api.ts'
import type { Proposal } from './propose.ts'

export interface DiscoveryState {
  found: Proposal[]
  /** Since when each found thing has been there, under which match. */
  since: Map<string, { at: MonoMs; as: string }>
  /** Things handed to `add`: each once, even when somebody takes it out of the config again; one that was refused, again after it was away. */
  asked: Map<string, 'added' | 'refused'>
}

export type DiscoveryEvent =
  | { kind: 'looked'; proposals: Proposal[]; auto: boolean; now: MonoMs }
  /** `add` was refused. */
  | { kind: 'add-failed'; id: string }

export type DiscoveryEffect =
  | { kind: 'appeared'; found: Found }
  | { kind: 'vanished'; found: Found }
  | { kind: 'changed' }
  | { kind: 'add'; id: string; plugin: string; device: string; config: JsonObject }
  /** Look again then: something has yet to prove that it stays. */
  | { kind: 'look-again'; inMs: number }
  /** The limit of automatic additions is reached: told once. */
  | { kind: 'too-many'; limit: number }

/** A match this sure needs nobody to look at it. */
export const CONFIDENT = 80
/** udev makes the stable links a moment after the node; a name that may still change is not written into a config. */
export const SETTLE_MS = 2_000
/** mDNS is a word anybody on the LAN can say: it must not fill the config. */
export const AUTO_LIMIT = 32

export const newDiscoveryState = (): DiscoveryState => ({ found: [], since: new Map(), asked: new Map() })

export const discoveryMachine: Machine<DiscoveryState, DiscoveryEvent, DiscoveryEffect> = {
  step(state, event) {
    switch (event.kind) {
      case 'looked':
        return looked(state, event.proposals, event.auto, event.now)
      case 'add-failed':
        state.asked.set(event.id, 'refused')
        return []
    }
  },
}

function looked(state: DiscoveryState, proposals: Proposal[], auto: boolean, now: MonoMs): DiscoveryEffect[] {
  const effects: DiscoveryEffect[] = []
  const before = new Map(state.found.map((found) => [found.id, found]))
  const after = new Set(proposals.map((found) => found.id))
  for (const found of proposals) if (!before.has(found.id)) effects.push({ kind: 'appeared', found })
  for (const found of state.found)
    if (!after.has(found.id)) {
      effects.push({ kind: 'vanished', found })
      state.since.delete(found.id)
      if (state.asked.get(found.id) === 'refused') state.asked.delete(found.id)
    }
  if (JSON.stringify(proposals) !== JSON.stringify(state.found)) effects.push({ kind: 'changed' })
  state.found = proposals
  for (const found of proposals) {
    const as = `${found.plugin ?? ''} ${found.label}`
    if (state.since.get(found.id)?.as !== as) state.since.set(found.id, { at: now, as })
  }
  if (auto) effects.push(...additions(state, now))
  return effects
}

function additions(state: DiscoveryState, now: MonoMs): DiscoveryEffect[] {
  const effects: DiscoveryEffect[] = []
  let wait = Number.POSITIVE_INFINITY
  for (const { id, plugin, device, config, confidence, configuredAs } of state.found) {
    if (plugin === undefined || device === undefined || config === undefined || configuredAs !== undefined) continue
    if ((confidence ?? 0) < CONFIDENT || state.asked.has(id)) continue
    const remaining = (state.since.get(id)?.at ?? now) + SETTLE_MS - now
    if (remaining > 0) wait = Math.min(wait, remaining)
    else if (state.asked.size < AUTO_LIMIT) {
      state.asked.set(id, 'added')
      effects.push({ kind: 'add', id, plugin, device, config })
      if (state.asked.size === AUTO_LIMIT) effects.push({ kind: 'too-many', limit: AUTO_LIMIT })
    }
  }
  if (Number.isFinite(wait)) effects.push({ kind: 'look-again', inMs: wait })
  return effects
}
