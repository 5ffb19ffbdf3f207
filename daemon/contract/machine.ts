/**
 * What decides is a pure machine: synchronous, and inside it no clock, timer, randomness, I/O or
 * promise. A shell performs the effects in order and feeds what comes of them back as events. Time
 * and randomness arrive in events. Lint bans the rest from `*.machine.ts`.
 */
export interface Machine<State, Event, Effect> {
  /** Changes `state` in place and says what is to be done about it. */
  step(state: State, event: Event): readonly Effect[]
}
