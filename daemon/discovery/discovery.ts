import { asFailure } from '../contract/errors.ts'
import type { JsonObject } from '../contract/json.ts'
import type { Discovery, DiscoveryOptions, Found } from './api.ts'
import { type DiscoveryEffect, discoveryMachine, newDiscoveryState } from './discovery.machine.ts'
import { browsedTypes, type Facts } from './match.ts'
import { createMdns, type Mdns } from './mdns.ts'
import type { NetworkService } from './mdns-cache.ts'
import { readNodes, SYSTEM_ROOTS } from './nodes.ts'
import { type Proposal, propose } from './propose.ts'
import { type NodeWatch, watchNodes } from './watch.ts'

/** Long enough for udev to make a node's links, short enough to be noticed at once. */
const DEBOUNCE_MS = 250
/** The net below inotify; and where there is no inotify, the poll that keeps the promise of two seconds. */
const POLL_MS = 60_000
const POLL_UNWATCHED_MS = 2_000
/** What a look at the network takes when it is asked for. */
const ANSWER_MS = 1_500

export function createDiscovery(options: DiscoveryOptions): Discovery {
  const { clock, log } = options
  const roots = options.roots ?? SYSTEM_ROOTS
  const state = newDiscoveryState()
  const listeners = new Set<() => void>()
  const mdns = createNetwork(options, () => lookSoon(DEBOUNCE_MS))
  let nodes: NodeWatch | undefined
  let running = false
  let looking: Promise<void> | undefined
  let soon: { at: number; cancel: () => void } | undefined
  let cancelPoll = () => {}

  /** At most one look waits; the earlier one wins. */
  const lookSoon = (ms: number): void => {
    const at = clock.mono() + ms
    if (!running || (soon && soon.at <= at)) return
    soon?.cancel()
    const cancel = clock.timer(ms, () => {
      soon = undefined
      void look()
    })
    soon = { at, cancel }
  }

  const look = async (): Promise<void> => {
    // What changes during a look may be missed by it: wait for it, then look again.
    while (looking) await looking
    looking = lookNow().finally(() => {
      looking = undefined
    })
    await looking
  }

  const lookNow = async (): Promise<void> => {
    const watched = (await nodes?.arm()) ?? true
    const facts = [...(await readNodes(roots)), ...(mdns?.services() ?? []).map(networkFacts)]
    const proposals = propose(facts, options.manifests(), options.configured())
    perform(discoveryMachine.step(state, { kind: 'looked', proposals, auto: running && options.auto(), now: clock.mono() }))
    cancelPoll()
    if (running) cancelPoll = clock.timer(watched ? POLL_MS : POLL_UNWATCHED_MS, () => void look())
  }

  const perform = (effects: readonly DiscoveryEffect[]): void => {
    for (const effect of effects)
      switch (effect.kind) {
        case 'appeared':
          if (running) log.info(fields(effect.found), 'found')
          break
        case 'vanished':
          log.info(fields(effect.found), 'gone')
          break
        case 'changed':
          for (const listener of listeners) listener()
          break
        case 'look-again':
          lookSoon(effect.inMs)
          break
        case 'too-many':
          log.warn({ limit: effect.limit }, 'no more devices are added by themselves until the daemon is restarted')
          break
        case 'add':
          void add(effect)
          break
      }
  }

  const add = async ({ id, plugin, device, config }: Extract<DiscoveryEffect, { kind: 'add' }>): Promise<void> => {
    try {
      await options.add(plugin, device, config)
      log.info({ plugin, device, port: id }, 'added by itself')
      lookSoon(DEBOUNCE_MS)
    } catch (error) {
      const failure = asFailure(error)
      log.warn({ plugin, device, port: id, code: failure.code, reason: failure.message }, 'could not be added by itself')
      perform(discoveryMachine.step(state, { kind: 'add-failed', id }))
    }
  }

  return {
    async start() {
      running = true
      nodes = watchNodes(roots.dev, () => lookSoon(DEBOUNCE_MS))
      await Promise.all([mdns?.start(), look()])
    },
    async stop() {
      running = false
      soon?.cancel()
      soon = undefined
      nodes?.close()
      nodes = undefined
      await looking
      cancelPoll()
      await mdns?.stop()
    },
    async scan() {
      const alone = !running
      if (mdns) {
        if (alone) await mdns.start()
        mdns.ask()
        await clock.sleep(ANSWER_MS)
      }
      await look()
      if (alone) await mdns?.stop()
      return state.found.map(asFound)
    },
    found: () => state.found.map(asFound),
    follow(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}

function createNetwork(options: DiscoveryOptions, changed: () => void): Mdns | undefined {
  if (options.mdns === false) return undefined
  return createMdns({
    options: options.mdns ?? {},
    types: () => browsedTypes(options.manifests()),
    ...(options.announce ? { announce: { gateway: options.gateway, services: options.services } } : {}),
    changed,
    clock: options.clock,
    log: options.log,
  })
}

/** By address where one is known: the name resolves only on machines with a resolver for `.local`. */
function networkFacts({ name, type, host, port, addresses }: NetworkService): Facts {
  const all = [...addresses.map((address) => (address.includes(':') ? `[${address}]` : address)), host].map((one) => `tcp://${one}:${port}`)
  return { kind: 'network', port: all[0] ?? `tcp://${host}:${port}`, label: name, mdns: type, aliases: all.slice(1) }
}

function asFound({ device: _device, ...found }: Proposal): Found {
  return found
}

function fields(found: Found): JsonObject {
  return {
    port: found.port,
    label: found.label,
    ...(found.plugin === undefined ? {} : { plugin: found.plugin }),
    ...(found.configuredAs === undefined ? {} : { configuredAs: found.configuredAs }),
  }
}
