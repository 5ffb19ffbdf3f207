/**
 * Answers to HQ's commands on their way to `up/result`: the newest status of each command, kept until the broker has taken
 * it, sent again on a new connection, bounded. (The outcome itself is journaled; HQ may also repeat a command and gets its first result.)
 */
import type { CommandResult } from '../contract/command.ts'
import type { Machine } from '../contract/machine.ts'

export interface OutboxState {
  /** Insertion order is age. */
  readonly waiting: Map<string, { result: CommandResult; sending: boolean }>
  readonly limit: number
  online: boolean
  dropped: number
}

export type OutboxEvent =
  | { on: 'result'; result: CommandResult }
  | { on: 'online' }
  | { on: 'offline' }
  /** The broker has taken the result, or will not. */
  | { on: 'settled'; result: CommandResult; ok: boolean }

export type OutboxEffect = { do: 'publish'; result: CommandResult }

export const newOutbox = (limit = 200): OutboxState => ({ waiting: new Map(), limit, online: false, dropped: 0 })

export const outboxMachine: Machine<OutboxState, OutboxEvent, OutboxEffect> = {
  step(s, event) {
    switch (event.on) {
      case 'result': {
        const { result } = event
        s.waiting.delete(result.id)
        s.waiting.set(result.id, { result, sending: s.online })
        if (s.waiting.size > s.limit) {
          const [oldest] = s.waiting.keys()
          if (oldest !== undefined) s.waiting.delete(oldest)
          s.dropped += 1
        }
        return s.online ? [{ do: 'publish', result }] : []
      }
      case 'online':
        s.online = true
        return [...s.waiting.values()].map((entry) => {
          entry.sending = true
          return { do: 'publish', result: entry.result }
        })
      case 'offline':
        s.online = false
        return []
      case 'settled': {
        const entry = s.waiting.get(event.result.id)
        // A newer status may have taken its place meanwhile.
        if (event.ok && entry?.result === event.result) s.waiting.delete(event.result.id)
        return []
      }
    }
  },
}
