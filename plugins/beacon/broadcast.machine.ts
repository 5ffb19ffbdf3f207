/** The shop's own iBeacon on the adapter that scans: LE advertising commands, each answer checked, by turns with the scan where it must be. */
import type { Machine } from '../../daemon/contract/machine.ts'
import { type BroadcastSpec, ibeaconPayload } from './frames/payload.ts'
import { hexStatus, OPCODE, STATUS } from './hci/packets.ts'

/** Where the adapter refuses both at once: heard for so long, sent for so long, ms. */
const HEAR_MS = 4_000
const SEND_MS = 1_000
/** After a refusal or no answer, ms; doubling up to the second. */
const AGAIN_MS = 10_000
const AGAIN_MOST_MS = 300_000
/** After somebody else has changed the advertising, ms. */
const DISTURBED_MS = 2_000

export type BroadcastMode = 'off' | 'starting' | 'on' | 'time-slicing' | 'failed'

export interface BroadcastState {
  spec: BroadcastSpec | undefined
  /** The scan runs: commands will be answered. */
  ready: boolean
  mode: BroadcastMode
  slicing: boolean
  /** What has been asked of the adapter and not been answered. */
  step: 'idle' | 'off' | 'parameters' | 'data' | 'on' | 'stop-scan' | 'start-scan'
  /** The spec has changed while commands were under way. */
  stale: boolean
  sending: boolean
  /** The scan is on. */
  hearing: boolean
  /** Advertising may be on from a run before: it is turned off once, whether or not anything is to be sent. */
  swept: boolean
  /** A refusal that has nothing to do with the scan is answered by a reset, once for each attempt. */
  mayReset: boolean
  againMs: number
  detail: string
}

export type BroadcastEvent =
  | { kind: 'want'; spec: BroadcastSpec | undefined }
  | { kind: 'ready' }
  | { kind: 'gone' }
  /** Answer to the last command; undefined: none came. */
  | { kind: 'answer'; status: number | undefined }
  | { kind: 'scan'; done: boolean }
  | { kind: 'due' }
  | { kind: 'disturbed' }

export type BroadcastEffect =
  | { kind: 'command'; opcode: number; parameters: Uint8Array }
  | { kind: 'scan'; on: boolean }
  /** HCI Reset; `ready` follows. */
  | { kind: 'reset' }
  /** Replaces the wait before it; 0: none. */
  | { kind: 'wait'; ms: number }
  /** Only what is news. */
  | { kind: 'mode'; mode: BroadcastMode; detail: string }

export function newBroadcast(): BroadcastState {
  return {
    spec: undefined,
    ready: false,
    mode: 'off',
    slicing: false,
    step: 'idle',
    stale: false,
    sending: false,
    hearing: true,
    swept: false,
    mayReset: true,
    againMs: AGAIN_MS,
    detail: '',
  }
}

const NOTHING: readonly BroadcastEffect[] = []
const COMMANDS: ReadonlySet<BroadcastState['step']> = new Set(['off', 'parameters', 'data', 'on'])

export const broadcastMachine: Machine<BroadcastState, BroadcastEvent, BroadcastEffect> = {
  step(state, event) {
    switch (event.kind) {
      case 'want':
        if (same(state.spec, event.spec)) return NOTHING
        state.spec = event.spec
        state.againMs = AGAIN_MS
        state.mayReset = true
        return begin(state)
      case 'ready':
        // Whoever has been reset may bear both at once again.
        Object.assign(state, { ready: true, step: 'idle', sending: false, slicing: false, hearing: true })
        return state.spec === undefined && state.swept ? NOTHING : begin(state)
      case 'gone': {
        Object.assign(state, { ready: false, step: 'idle', sending: false })
        return [{ kind: 'wait', ms: 0 }, ...told(state, state.spec === undefined ? 'off' : 'starting', '')]
      }
      case 'answer':
        return state.ready && COMMANDS.has(state.step) ? answered(state, event.status) : NOTHING
      case 'scan':
        return state.ready ? switched(state, event.done) : NOTHING
      case 'due':
        return state.ready && state.step === 'idle' ? due(state) : NOTHING
      case 'disturbed':
        return state.ready && state.spec !== undefined && !state.slicing ? [{ kind: 'wait', ms: DISTURBED_MS }] : NOTHING
    }
  },
}

/** Off first: a controller takes new parameters only while it does not advertise (7.8.5). */
function begin(state: BroadcastState): readonly BroadcastEffect[] {
  if (!state.ready) return told(state, state.spec === undefined ? 'off' : 'starting', '')
  if (state.step !== 'idle') {
    state.stale = true
    return NOTHING
  }
  state.stale = false
  if (state.slicing && state.hearing && state.spec !== undefined) {
    state.step = 'stop-scan'
    return [
      { kind: 'wait', ms: 0 },
      { kind: 'scan', on: false },
    ]
  }
  state.step = 'off'
  const quiet: BroadcastEffect[] = [{ kind: 'wait', ms: 0 }, enable(false)]
  return state.spec !== undefined && (state.mode === 'off' || state.mode === 'failed') ? [...quiet, ...told(state, 'starting', '')] : quiet
}

function answered(state: BroadcastState, status: number | undefined): readonly BroadcastEffect[] {
  const { spec, step } = state
  if (status === undefined) return spec === undefined ? unanswered(state) : failed(state, 'no-answer')
  // What is off already may be refused to be turned off.
  if (step === 'off') return stopped(state)
  if (spec === undefined || state.stale) return restart(state)
  if (status === STATUS.commandDisallowed && !state.slicing) {
    state.slicing = true
    state.step = 'stop-scan'
    return [{ kind: 'scan', on: false }]
  }
  // With the scan off there is nothing left but extended commands that somebody has used (7.8.5): a reset takes the controller back.
  if (status === STATUS.commandDisallowed && state.mayReset) return resets(state)
  if (status !== STATUS.ok) return failed(state, `refused ${hexStatus(status)}`)
  switch (step) {
    case 'parameters':
      state.step = 'data'
      return [{ kind: 'command', opcode: OPCODE.leSetAdvertisingData, parameters: advertisingData(spec) }]
    case 'data':
      state.step = 'on'
      return [enable(true)]
    default:
      state.step = 'idle'
      state.sending = true
      state.againMs = AGAIN_MS
      state.mayReset = true
      return [...told(state, state.slicing ? 'time-slicing' : 'on', ''), ...(state.slicing ? [{ kind: 'wait', ms: SEND_MS } as const] : [])]
  }
}

/** Nothing was to be sent; whether anything is on the air the next start will see to. */
function unanswered(state: BroadcastState): readonly BroadcastEffect[] {
  state.step = 'idle'
  state.sending = false
  return state.stale ? begin(state) : told(state, 'off', '')
}

/** The wait is there in case no `ready` follows. */
function resets(state: BroadcastState): readonly BroadcastEffect[] {
  Object.assign(state, { mayReset: false, step: 'idle', sending: false, slicing: false, hearing: true })
  return [{ kind: 'wait', ms: state.againMs }, { kind: 'reset' }]
}

function stopped(state: BroadcastState): readonly BroadcastEffect[] {
  state.sending = false
  state.swept = true
  if (state.spec === undefined) {
    state.step = 'idle'
    if (!state.slicing) return told(state, 'off', '')
    state.slicing = false
    if (state.hearing) return told(state, 'off', '')
    state.step = 'start-scan'
    return [{ kind: 'scan', on: true }, ...told(state, 'off', '')]
  }
  state.step = 'parameters'
  state.stale = false
  return [{ kind: 'command', opcode: OPCODE.leSetAdvertisingParameters, parameters: advertisingParameters(state.spec) }]
}

/** The scan has been switched, or the adapter has refused that: its watch notices if it then stays silent. */
function switched(state: BroadcastState, done: boolean): readonly BroadcastEffect[] {
  if (state.step === 'stop-scan') {
    state.step = 'idle'
    state.hearing = !done
    if (done) return begin(state)
    return state.mayReset ? resets(state) : failed(state, 'scan-stays-on')
  }
  if (state.step !== 'start-scan') return NOTHING
  state.step = 'idle'
  state.hearing = true
  if (state.stale || state.spec === undefined) return state.stale ? begin(state) : NOTHING
  return [{ kind: 'wait', ms: state.mode === 'failed' ? state.againMs : HEAR_MS }]
}

function due(state: BroadcastState): readonly BroadcastEffect[] {
  // Each reset costs a moment of hearing: not for ever.
  if (state.mode === 'failed' && state.againMs < AGAIN_MOST_MS) state.mayReset = true
  if (!state.slicing || state.spec === undefined) return state.spec === undefined ? NOTHING : begin(state)
  if (state.sending) {
    // End of the turn: quiet, then hear again. The answer to "off" may be a refusal; it is quiet then anyway.
    state.sending = false
    state.step = 'start-scan'
    return [enable(false), { kind: 'scan', on: true }]
  }
  state.step = 'stop-scan'
  return [{ kind: 'scan', on: false }]
}

function restart(state: BroadcastState): readonly BroadcastEffect[] {
  state.step = 'idle'
  return begin(state)
}

function failed(state: BroadcastState, detail: string): readonly BroadcastEffect[] {
  const wait: BroadcastEffect = { kind: 'wait', ms: state.againMs }
  state.againMs = Math.min(state.againMs * 2, AGAIN_MOST_MS)
  state.sending = false
  state.step = 'idle'
  const news = told(state, 'failed', detail)
  if (!state.slicing) return [wait, ...news]
  // Hearing matters more.
  state.slicing = false
  if (state.hearing) return [wait, ...news]
  state.step = 'start-scan'
  return [wait, { kind: 'scan', on: true }, ...news]
}

function told(state: BroadcastState, mode: BroadcastMode, detail: string): readonly BroadcastEffect[] {
  if (state.mode === mode && state.detail === detail) return NOTHING
  state.mode = mode
  state.detail = detail
  return [{ kind: 'mode', mode, detail }]
}

function enable(on: boolean): BroadcastEffect {
  return { kind: 'command', opcode: OPCODE.leSetAdvertisingEnable, parameters: Uint8Array.of(on ? 1 : 0) }
}

/** 7.8.5: interval in 0.625 ms, ADV_NONCONN_IND (what an iBeacon is), public address, all three channels, no filter. */
function advertisingParameters(spec: BroadcastSpec): Uint8Array {
  const interval = Math.round(spec.intervalMs / 0.625)
  return Uint8Array.of(interval & 0xff, interval >> 8, interval & 0xff, interval >> 8, 0x03, 0, 0, 0, 0, 0, 0, 0, 0, 0x07, 0)
}

/** 7.8.7: a length byte and always 31 bytes. */
function advertisingData(spec: BroadcastSpec): Uint8Array {
  const payload = ibeaconPayload(spec)
  const parameters = new Uint8Array(32)
  parameters[0] = payload.length
  parameters.set(payload, 1)
  return parameters
}

function same(a: BroadcastSpec | undefined, b: BroadcastSpec | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  return a.uuid === b.uuid && a.major === b.major && a.minor === b.minor && a.power === b.power && a.intervalMs === b.intervalMs
}
