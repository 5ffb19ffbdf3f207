/** What the uplink's machine knows, is told and says: `uplink.machine.ts` decides on it. */

/** An SSID's hex. */
export type Network = string

export interface UplinkPolicy {
  /** How long a network may take to come up, ms. */
  tryMs: number
  /** How long NetworkManager is left to reconnect by itself, ms. */
  graceMs: number
  /**
   * After its first, second, … failure a network is not tried for this long unless nothing else works, ms; the last repeats. A failed
   * trial, which has cost the uplink, begins with the second.
   */
  refusedMs: readonly number[]
  /** Rest after the first, second, … round in which no network came up, ms; the last repeats. */
  restMs: readonly number[]
  /** A preferred network that is lost within this time counts as refused, ms: the edge of its reach must not make the box swing. */
  proveMs: number
}

/** What must be on disk before anything is moved. */
export interface Durable {
  /** The last network that worked. */
  good?: Network
  /** Under trial now, and what to return to: nothing where a cable was the way out. */
  trial?: { network: Network; back?: Network }
}

/** `trial`: must prove itself fully. `return` and `rescue`: an address is enough. */
export type TryMode = 'trial' | 'return' | 'rescue'

export interface Task {
  mode: TryMode
  network: Network
  stage: 'saving' | 'trying'
  /** By command: its outcome is waited for. */
  asked: boolean
  /** `return`: the trial that has failed. */
  failed?: { network: Network; reason: string; asked: boolean }
}

export interface UplinkState {
  readonly policy: UplinkPolicy
  readonly durable: Durable
  /** In order of preference. */
  networks: readonly Network[]
  task: Task | undefined
  /** Left over from before a restart: go back first. */
  unfinished: boolean
  /** The disk refused what it should know: told again at the next look. */
  unsaved: boolean
  readonly refused: Map<Network, { times: number; until: number; reason: string }>
  active: Network | undefined
  working: boolean
  /** Since when nothing works. */
  lostAt: number | undefined
  round: { left: Network[]; rounds: number; restUntil: number }
  won: { network: Network; at: number } | undefined
}

export type UplinkEvent =
  | { kind: 'networks'; networks: readonly Network[]; changed: readonly Network[] }
  /**
   * What is: `working` means connected with an address. `wired`: another way out works. `reach`: the networks in reach, where that was
   * looked up.
   */
  | { kind: 'seen'; active?: Network; working: boolean; wired: boolean; reach?: ReadonlySet<Network>; now: number }
  | { kind: 'asked'; network: Network; wired: boolean; now: number }
  | { kind: 'forgotten'; network: Network }
  | { kind: 'saved' }
  | { kind: 'not-saved' }
  | { kind: 'tried'; network: Network; up: boolean; reason: string; now: number }

export type UplinkEffect =
  /** On disk before any effect of a later step. `not-saved` when it is not; `saved` is awaited if `tell`. */
  | { kind: 'save'; durable: Durable; tell: boolean }
  | { kind: 'try'; network: Network; mode: TryMode; ms: number }
  /** It works: NetworkManager may connect to it by itself from now on. */
  | { kind: 'keep'; network: Network }
  /** A trial has failed: what was set up for it goes. */
  | { kind: 'drop'; network: Network }
  | { kind: 'settled'; network: Network; up: boolean; reason: string; asked: boolean; back?: Network }
  /** Look again after this time. */
  | { kind: 'look'; ms: number }

export function newUplink(policy: UplinkPolicy, durable: Durable): UplinkState {
  return {
    policy,
    durable: structuredCopy(durable),
    networks: [],
    task: undefined,
    unfinished: durable.trial !== undefined,
    unsaved: false,
    refused: new Map(),
    active: undefined,
    working: false,
    lostAt: undefined,
    round: { left: [], rounds: 0, restUntil: 0 },
    won: undefined,
  }
}

export function structuredCopy({ good, trial }: Durable): Durable {
  return { ...(good === undefined ? {} : { good }), ...(trial ? { trial: { ...trial } } : {}) }
}
