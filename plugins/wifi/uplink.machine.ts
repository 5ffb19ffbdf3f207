/**
 * Which network the box uses. The rule above all: it never locks itself out. A network that has not worked yet is tried with the
 * intent on disk first, and unless it comes up in time the box goes back to the last one that worked, after a crash or a power cut, too.
 * Where another way out (a cable) works, nothing is moved but by command.
 */
import type { Machine } from '../../daemon/contract/machine.ts'
import { type Network, structuredCopy, type Task, type UplinkEffect, type UplinkEvent, type UplinkState } from './uplink.state.ts'

export const uplinkMachine: Machine<UplinkState, UplinkEvent, UplinkEffect> = {
  step(state, event) {
    switch (event.kind) {
      case 'networks':
        state.networks = [...event.networks]
        for (const network of event.changed) state.refused.delete(network)
        return [{ kind: 'look', ms: 0 }]
      case 'seen':
        return seen(state, event)
      case 'asked':
        return asked(state, event)
      case 'forgotten':
        return forgotten(state, event.network)
      case 'saved':
        return saved(state)
      case 'not-saved':
        return notSaved(state)
      case 'tried':
        return tried(state, event)
    }
  },
}

/** Networks that the box would rather be on than on the one it is on. */
export function preferred(state: UplinkState): readonly Network[] {
  const at = state.active === undefined ? -1 : state.networks.indexOf(state.active)
  return at < 0 ? state.networks : state.networks.slice(0, at)
}

function seen(state: UplinkState, event: UplinkEvent & { kind: 'seen' }): readonly UplinkEffect[] {
  // While one is being tried, what it comes to is what counts.
  if (state.task) return []
  state.active = event.active
  state.working = event.working
  if (state.unsaved) {
    state.unsaved = false
    return [save(state, false), ...judge(state, event)]
  }
  return judge(state, event)
}

function judge(state: UplinkState, event: UplinkEvent & { kind: 'seen' }): readonly UplinkEffect[] {
  const { now, wired } = event
  if (state.unfinished) return goBack(state, now)
  if (event.working && event.active !== undefined) return onNetwork(state, event.active, event)
  if (state.won && now - state.won.at < state.policy.proveMs) refuse(state, state.won.network, 'lost', now)
  state.won = undefined
  if (wired || state.networks.length === 0) {
    state.lostAt = undefined
    return []
  }
  state.lostAt ??= now
  const grace = state.durable.good === undefined ? 0 : state.lostAt + state.policy.graceMs - now
  const wait = Math.max(grace, state.round.restUntil - now)
  return wait > 0 ? [{ kind: 'look', ms: wait }] : rescue(state, now)
}

/** The intent of an earlier run was never finished: whatever it has come to, the last network that worked is the safe one. */
function goBack(state: UplinkState, now: number): readonly UplinkEffect[] {
  state.unfinished = false
  const { trial } = state.durable
  if (!trial) return []
  // Not at once again: perhaps it is what cut us off.
  if (trial.back !== trial.network) refuse(state, trial.network, 'interrupted', now)
  state.task = {
    mode: 'return',
    network: trial.back ?? trial.network,
    stage: 'trying',
    asked: false,
    failed: { network: trial.network, reason: 'interrupted', asked: false },
  }
  if (trial.back === undefined) return finish(state, undefined)
  return [{ kind: 'try', network: trial.back, mode: 'return', ms: state.policy.tryMs }]
}

function onNetwork(state: UplinkState, active: Network, { now, wired, reach }: UplinkEvent & { kind: 'seen' }): readonly UplinkEffect[] {
  state.lostAt = undefined
  state.round = { left: [], rounds: 0, restUntil: 0 }
  if (state.won && state.won.network !== active) {
    if (now - state.won.at < state.policy.proveMs) refuse(state, state.won.network, 'lost', now)
    state.won = undefined
  }
  const news: UplinkEffect[] = []
  if (state.durable.good !== active) {
    state.durable.good = active
    news.push(save(state, false))
  }
  if (wired || !reach) return news
  const better = preferred(state).find((network) => reach.has(network) && (state.refused.get(network)?.until ?? now) <= now)
  return better === undefined ? news : [...news, ...begin(state, better, active, false)]
}

/** The intent first: from here until it is settled a restart leads back. */
function begin(state: UplinkState, network: Network, back: Network | undefined, asked: boolean): readonly UplinkEffect[] {
  state.task = { mode: 'trial', network, stage: 'saving', asked }
  state.durable.trial = { network, ...(back === undefined ? {} : { back }) }
  return [save(state, true)]
}

function asked(state: UplinkState, { network, wired }: UplinkEvent & { kind: 'asked' }): readonly UplinkEffect[] {
  if (state.task || state.unfinished) return [{ kind: 'settled', network, up: false, reason: 'busy', asked: true }]
  const back = state.working ? state.active : wired ? undefined : state.durable.good
  return begin(state, network, back, true)
}

function saved(state: UplinkState): readonly UplinkEffect[] {
  const { task } = state
  if (task?.stage !== 'saving') return []
  task.stage = 'trying'
  return [{ kind: 'try', network: task.network, mode: task.mode, ms: state.policy.tryMs }]
}

function notSaved(state: UplinkState): readonly UplinkEffect[] {
  const { task } = state
  state.unsaved = true
  if (task?.stage !== 'saving') return []
  state.task = undefined
  delete state.durable.trial
  return [{ kind: 'settled', network: task.network, up: false, reason: 'not-saved', asked: task.asked }]
}

function tried(state: UplinkState, { network, up, reason, now }: UplinkEvent & { kind: 'tried' }): readonly UplinkEffect[] {
  const { task } = state
  if (task?.stage !== 'trying' || task.network !== network) return []
  if (up) return cameUp(state, task, now)
  if (task.mode === 'return') return finish(state, undefined)
  const news = !state.refused.has(network)
  // One that is tried only because nothing works may just be away: it is welcome again soon after it is heard again.
  refuse(state, network, reason, now, task.mode === 'rescue' ? 0 : 1)
  if (task.mode === 'rescue') {
    state.task = undefined
    state.working = false
    // Said once, not each round.
    const settled: UplinkEffect[] = news ? [{ kind: 'settled', network, up: false, reason, asked: false }] : []
    return [...settled, ...rested(state, now)]
  }
  const back = state.durable.trial?.back
  const failed = { network, reason, asked: task.asked }
  const drop: UplinkEffect = { kind: 'drop', network }
  state.task = { mode: 'return', network: back ?? network, stage: 'trying', asked: false, failed }
  if (back === undefined) return [drop, ...finish(state, undefined)]
  // The network itself may be `back`: tried with another password, it returns to the one that worked.
  return [{ kind: 'try', network: back, mode: 'return', ms: state.policy.tryMs }, drop]
}

function cameUp(state: UplinkState, task: Task, now: number): readonly UplinkEffect[] {
  state.active = task.network
  state.working = true
  state.lostAt = undefined
  state.round = { left: [], rounds: 0, restUntil: 0 }
  if (task.mode === 'return') return finish(state, task.network)
  state.task = undefined
  state.durable.good = task.network
  delete state.durable.trial
  if (task.mode === 'trial' && !task.asked) state.won = { network: task.network, at: now }
  else state.refused.delete(task.network)
  return [
    { kind: 'keep', network: task.network },
    save(state, false),
    { kind: 'settled', network: task.network, up: true, reason: task.mode, asked: task.asked },
    { kind: 'look', ms: 0 },
  ]
}

/** A failed trial is over: on `back`, or, where that did not come up, with nothing; then the rescue begins. */
function finish(state: UplinkState, back: Network | undefined): readonly UplinkEffect[] {
  const failed = state.task?.failed
  state.task = undefined
  delete state.durable.trial
  if (back === undefined) state.working = false
  else state.durable.good = back
  const over: UplinkEffect[] = [save(state, false), { kind: 'look', ms: 0 }]
  if (!failed) return over
  const { network, reason, asked } = failed
  const settled: UplinkEffect = { kind: 'settled', network, up: false, reason, asked, ...(back === undefined ? {} : { back }) }
  return reason === 'interrupted' && back !== network ? [{ kind: 'drop', network }, settled, ...over] : [settled, ...over]
}

/** Every network the box knows, one after the other: the last that worked, then by preference, those refused lately last. */
function rescue(state: UplinkState, now: number): readonly UplinkEffect[] {
  const { round } = state
  if (round.left.length === 0) {
    const lately = (network: Network) => (state.refused.get(network)?.until ?? now) > now
    const fresh = state.networks.filter((network) => !lately(network))
    const good = state.durable.good
    round.left = [...new Set([...(good === undefined ? [] : [good]), ...fresh, ...state.networks])]
  }
  const network = round.left.shift()
  if (network === undefined) return []
  state.task = { mode: 'rescue', network, stage: 'trying', asked: false }
  return [{ kind: 'try', network, mode: 'rescue', ms: state.policy.tryMs }]
}

/** After one that did not come up: a look, since NetworkManager may have found another; after all of them: a rest. */
function rested(state: UplinkState, now: number): readonly UplinkEffect[] {
  const { round, policy } = state
  if (round.left.length > 0) return [{ kind: 'look', ms: 0 }]
  const ms = at(policy.restMs, round.rounds)
  round.rounds += 1
  round.restUntil = now + ms
  return [{ kind: 'look', ms }]
}

function forgotten(state: UplinkState, network: Network): readonly UplinkEffect[] {
  state.networks = state.networks.filter((one) => one !== network)
  state.refused.delete(network)
  state.round.left = state.round.left.filter((one) => one !== network)
  if (state.durable.good !== network) return []
  delete state.durable.good
  return [save(state, false)]
}

function refuse(state: UplinkState, network: Network, reason: string, now: number, least = 1): void {
  const { refusedMs } = state.policy
  // A wrong password does not mend itself; a weak signal can look like one, so it is not for ever.
  const times = reason === 'wrong-password' ? refusedMs.length : Math.max(least, state.refused.get(network)?.times ?? 0)
  state.refused.set(network, { times: times + 1, until: now + at(refusedMs, times), reason })
}

function save(state: UplinkState, tell: boolean): UplinkEffect {
  return { kind: 'save', durable: structuredCopy(state.durable), tell }
}

function at(list: readonly number[], index: number): number {
  return list[Math.min(index, list.length - 1)] ?? 60_000
}
