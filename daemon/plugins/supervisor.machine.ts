/**
 * How one plugin is kept alive: starting -> running -> backoff -> quarantined, stop, and reload with roll back. Which process
 * that is, which files, and when a timer fires is the shell's business (supervisor.ts).
 */
import type { ErrorCode } from '../contract/errors.ts'
import type { Machine } from '../contract/machine.ts'
import type { MonoMs } from '../contract/plugin.ts'

/** `current`: the plugin's folder as it is. `good`: the copy of the files that were healthy last. */
export type Files = 'current' | 'good'

export type Phase = 'stopped' | 'starting' | 'running' | 'stopping' | 'backoff' | 'quarantined'

export interface SupervisorState {
  phase: Phase
  /** What the process runs, or the next one will. */
  files: Files
  /** Set while the files have not proved themselves and there is a good copy to return to. */
  trial: boolean
  /** Why this process was started: the reason in `plugin.loaded`. */
  because: Because
  /** What follows when the process that is being stopped is gone. */
  next: { start: false; reason: string } | ({ start: true } & Fresh)
  /** Why the files on trial were given up, until the old ones are healthy. */
  gaveUp: string | undefined
  /** Crashes since the last healthy stretch: the backoff's exponent. */
  attempts: number
  /** When it crashed, within the last day, oldest first. */
  crashes: MonoMs[]
}

/** How to start anew: with what, and whether there is a good copy to return to. */
interface Fresh {
  files: Files
  good: boolean
  because: Because
}

export type Because = 'started' | 'reloaded' | 'restarted' | 'configured' | 'rolled-back'

export type SupervisorEvent =
  /** To run; a process that runs already is left alone. `good`: there is a copy of healthy files that differs from the current ones. */
  | { type: 'start'; good: boolean }
  | { type: 'stop'; reason: string }
  /** A new process: `reloaded` from the current files, `configured` from those it ran. Leaves quarantine. */
  | { type: 'restart'; good: boolean; because: 'reloaded' | 'configured' }
  /** The process has started the plugin and answered its first ping. */
  | { type: 'ready' }
  /** The process is gone, for whatever reason. `random`: 0 up to 1. */
  | { type: 'exited'; reason: string; now: MonoMs; random: number }
  | { type: 'timer'; timer: Timer }

/** `deadline`: of becoming ready. `retry`: the backoff is over. `healthy`: it ran long enough to forget old crashes. */
export type Timer = 'deadline' | 'retry' | 'healthy'

export type SupervisorEffect =
  | { type: 'spawn'; files: Files }
  /** Ask it to stop; kill it if it does not. `exited` follows. */
  | { type: 'halt' }
  | { type: 'kill'; reason: string }
  | { type: 'arm'; timer: Timer; ms: number }
  | { type: 'disarm'; timer: Timer }
  /** The current files are healthy: keep a copy of them. */
  | { type: 'keep' }
  | { type: 'journal'; event: 'loaded' | 'unloaded' | 'crashed' | 'quarantined'; reason: string }
  | { type: 'status'; reason?: string }
  /** Tells whoever waits for a start, restart or stop. */
  | { type: 'settle'; outcome: 'running' }
  | { type: 'settle'; outcome: 'stopped' }
  | { type: 'settle'; outcome: 'failed'; code: ErrorCode; reason: string }

export interface SupervisorLimits {
  /** ms from spawn to ready and first pong. */
  startMs: number
  backoffFirstMs: number
  backoffMostMs: number
  /** ms of running after which the backoff starts over. */
  healthyMs: number
  /** So many crashes within so many ms are enough. The slow rule catches what crashes once an hour for ever. */
  fast: { crashes: number; withinMs: number }
  slow: { crashes: number; withinMs: number }
}

export const LIMITS: SupervisorLimits = {
  startMs: 30_000,
  backoffFirstMs: 1_000,
  backoffMostMs: 60_000,
  healthyMs: 10 * 60_000,
  fast: { crashes: 5, withinMs: 10 * 60_000 },
  slow: { crashes: 20, withinMs: 24 * 3_600_000 },
}

export const stopped = (): SupervisorState => ({
  phase: 'stopped',
  files: 'current',
  trial: false,
  because: 'started',
  next: { start: false, reason: '' },
  gaveUp: undefined,
  attempts: 0,
  crashes: [],
})

export class SupervisorMachine implements Machine<SupervisorState, SupervisorEvent, SupervisorEffect> {
  readonly #limits: SupervisorLimits

  constructor(limits: SupervisorLimits = LIMITS) {
    this.#limits = limits
  }

  step(state: SupervisorState, event: SupervisorEvent): readonly SupervisorEffect[] {
    switch (event.type) {
      case 'start':
        return this.#start(state, event.good)
      case 'restart':
        return this.#restart(state, {
          files: event.because === 'configured' ? state.files : 'current',
          good: event.good,
          because: event.because,
        })
      case 'stop':
        return this.#stop(state, event.reason)
      case 'ready':
        return this.#ready(state)
      case 'exited':
        return this.#exited(state, event)
      case 'timer':
        return this.#timer(state, event.timer)
    }
  }

  #start(state: SupervisorState, good: boolean): SupervisorEffect[] {
    switch (state.phase) {
      case 'running':
        return [{ type: 'settle', outcome: 'running' }]
      case 'starting':
      case 'backoff':
        return []
      case 'stopping':
        if (!state.next.start) state.next = { start: true, files: 'current', good, because: 'started' }
        return []
      case 'stopped':
      case 'quarantined':
        return this.#fresh(state, { files: 'current', good, because: 'started' })
    }
  }

  #restart(state: SupervisorState, fresh: Fresh): SupervisorEffect[] {
    switch (state.phase) {
      case 'running':
      case 'starting':
        state.phase = 'stopping'
        state.next = { start: true, ...fresh }
        return [...this.#disarm('deadline', 'healthy'), { type: 'halt' }]
      case 'stopping':
        state.next = { start: true, ...fresh }
        return []
      default:
        return [...this.#disarm('retry'), ...this.#fresh(state, fresh)]
    }
  }

  #stop(state: SupervisorState, reason: string): SupervisorEffect[] {
    switch (state.phase) {
      case 'running':
      case 'starting':
        state.phase = 'stopping'
        state.next = { start: false, reason }
        return [...this.#disarm('deadline', 'healthy'), { type: 'halt' }]
      case 'stopping':
        state.next = { start: false, reason }
        return []
      case 'stopped':
        return [{ type: 'settle', outcome: 'stopped' }]
      default:
        return [...this.#disarm('retry'), ...this.#gone(state, reason)]
    }
  }

  #ready(state: SupervisorState): SupervisorEffect[] {
    if (state.phase !== 'starting') return []
    state.phase = 'running'
    state.trial = false
    const { gaveUp } = state
    state.gaveUp = undefined
    return [
      ...this.#disarm('deadline'),
      { type: 'arm', timer: 'healthy', ms: this.#limits.healthyMs },
      ...(state.files === 'current' ? [{ type: 'keep' } as const] : []),
      { type: 'journal', event: 'loaded', reason: state.because },
      gaveUp === undefined ? { type: 'status' } : { type: 'status', reason: `rolled back: ${gaveUp}` },
      gaveUp === undefined
        ? { type: 'settle', outcome: 'running' }
        : {
            type: 'settle',
            outcome: 'failed',
            code: 'plugin-start-failed',
            reason: `the new version did not become healthy (${gaveUp}); the old one is back`,
          },
    ]
  }

  #exited(state: SupervisorState, event: { reason: string; now: MonoMs; random: number }): SupervisorEffect[] {
    switch (state.phase) {
      case 'stopping':
        return state.next.start ? this.#fresh(state, state.next) : this.#gone(state, state.next.reason)
      case 'starting':
        return state.trial ? this.#rollBack(state, event.reason) : this.#crashed(state, event)
      case 'running':
        return this.#crashed(state, event)
      default:
        return []
    }
  }

  #timer(state: SupervisorState, timer: Timer): SupervisorEffect[] {
    if (timer === 'deadline' && state.phase === 'starting')
      return [{ type: 'kill', reason: `not ready within ${this.#limits.startMs / 1000} s` }]
    if (timer === 'retry' && state.phase === 'backoff') {
      state.because = state.gaveUp === undefined ? 'restarted' : 'rolled-back'
      return this.#spawn(state)
    }
    if (timer === 'healthy' && state.phase === 'running') state.attempts = 0
    return []
  }

  /** With a clean record. */
  #fresh(state: SupervisorState, { files, good, because }: Fresh): SupervisorEffect[] {
    state.files = files
    state.trial = good && files === 'current'
    state.because = because
    state.gaveUp = undefined
    state.attempts = 0
    state.crashes = []
    return this.#spawn(state)
  }

  #spawn(state: SupervisorState): SupervisorEffect[] {
    state.phase = 'starting'
    return [{ type: 'status' }, { type: 'arm', timer: 'deadline', ms: this.#limits.startMs }, { type: 'spawn', files: state.files }]
  }

  #rollBack(state: SupervisorState, reason: string): SupervisorEffect[] {
    state.files = 'good'
    state.trial = false
    state.because = 'rolled-back'
    state.gaveUp = reason
    return [...this.#disarm('deadline'), { type: 'journal', event: 'crashed', reason }, ...this.#spawn(state)]
  }

  #crashed(state: SupervisorState, event: { reason: string; now: MonoMs; random: number }): SupervisorEffect[] {
    const { reason, now } = event
    state.attempts += 1
    state.crashes = [...state.crashes.filter((at) => now - at < this.#limits.slow.withinMs), now].slice(-this.#limits.slow.crashes)
    const effects: SupervisorEffect[] = [...this.#disarm('deadline', 'healthy'), { type: 'journal', event: 'crashed', reason }]
    const enough = this.#enough(state.crashes, now)
    if (enough !== undefined) {
      state.phase = 'quarantined'
      return [
        ...effects,
        { type: 'journal', event: 'quarantined', reason: `${enough}; the last: ${reason}` },
        { type: 'status', reason: `${enough}; the last: ${reason}` },
        { type: 'settle', outcome: 'failed', code: 'plugin-quarantined', reason: `${enough}; the last: ${reason}` },
      ]
    }
    state.phase = 'backoff'
    const full = Math.min(this.#limits.backoffFirstMs * 2 ** Math.min(state.attempts - 1, 30), this.#limits.backoffMostMs)
    // A quarter either way: plugins that fell together do not come back together.
    return [
      ...effects,
      { type: 'arm', timer: 'retry', ms: Math.min(Math.round(full * (0.75 + event.random / 2)), this.#limits.backoffMostMs) },
      { type: 'status', reason },
      { type: 'settle', outcome: 'failed', code: 'plugin-start-failed', reason },
    ]
  }

  #enough(crashes: readonly MonoMs[], now: MonoMs): string | undefined {
    for (const { crashes: most, withinMs } of [this.#limits.fast, this.#limits.slow]) {
      const count = crashes.filter((at) => now - at < withinMs).length
      if (count >= most)
        return `${count} crashes within ${withinMs >= 3_600_000 ? `${withinMs / 3_600_000} h` : `${withinMs / 60_000} min`}`
    }
    return undefined
  }

  #gone(state: SupervisorState, reason: string): SupervisorEffect[] {
    state.phase = 'stopped'
    state.gaveUp = undefined
    return [
      { type: 'journal', event: 'unloaded', reason },
      { type: 'status', reason },
      { type: 'settle', outcome: 'stopped' },
    ]
  }

  #disarm(...timers: Timer[]): SupervisorEffect[] {
    return timers.map((timer) => ({ type: 'disarm', timer }))
  }
}
