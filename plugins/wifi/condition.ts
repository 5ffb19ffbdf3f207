/** What keeps the radio from being used, said once: one device state, one log line, and longer and longer pauses between looks. */
import type { DeviceState, Logger } from '../../daemon/contract/plugin.ts'
import type { FaultKind } from './nmcli/fault.ts'

export type Trouble = FaultKind | 'no-radio' | 'radio-off' | 'unmanaged' | 'unavailable' | 'access-point'

/** `offline`: there is nothing to drive. `fault`: something is broken. With what mends it. */
const TROUBLES: Partial<Record<Trouble, { state: 'offline' | 'fault'; mend: string }>> = {
  'no-nmcli': { state: 'fault', mend: 'there is no nmcli: install NetworkManager (apt install network-manager)' },
  'no-networkmanager': { state: 'fault', mend: 'NetworkManager does not run: systemctl enable --now NetworkManager' },
  'nmcli-silent': { state: 'fault', mend: 'nmcli does not answer in time' },
  'nmcli-garbled': { state: 'fault', mend: 'nmcli answers in a format this plugin does not know; 1.20 and later are' },
  'not-authorized': {
    state: 'fault',
    mend: 'polkit does not let this user control the network: see the polkit rule in plugins/wifi/README.md',
  },
  'no-radio': { state: 'offline', mend: 'there is no WiFi radio, or none by the configured name' },
  'radio-off': { state: 'offline', mend: 'the radio is switched off: nmcli radio wifi on, rfkill unblock wifi' },
  unmanaged: { state: 'offline', mend: 'NetworkManager leaves this radio alone: nmcli device set IFACE managed yes' },
  'access-point': {
    state: 'offline',
    mend: 'this radio is the guests’ access point and is left alone: the uplink needs another radio, or a cable',
  },
  unavailable: { state: 'offline', mend: 'the radio is not ready (country not set, firmware or wpa_supplicant missing)' },
}

/** What helps against a device state's detail, where that is known. */
export const mendOf = (detail: string): string | undefined => TROUBLES[detail as Trouble]?.mend

const MOST_MS = 300_000

export class Condition {
  readonly #tell: (state: DeviceState) => void
  readonly #log: Logger
  #state: DeviceState | undefined
  #times = 0

  constructor(tell: (state: DeviceState) => void, log: Logger) {
    this.#tell = tell
    this.#log = log
  }

  get state(): DeviceState {
    return this.#state ?? { state: 'offline', detail: 'starting' }
  }

  /** Says it if it is news. Returns how long to leave it alone before the next look, ms. */
  trouble(what: Trouble, pollMs: number): number {
    const { state, mend } = TROUBLES[what] ?? { state: 'fault' as const, mend: 'nmcli refuses' }
    if (this.#set({ state, detail: what })) this.#log.warn({ detail: what }, mend)
    this.#times += 1
    return Math.min(MOST_MS, pollMs * 2 ** Math.min(this.#times, 10))
  }

  /** The radio can be used. */
  usable(state: DeviceState): void {
    const troubled = this.#times > 0
    this.#times = 0
    if (this.#set(state) && troubled) this.#log.info({}, 'the radio can be used')
  }

  #set(state: DeviceState): boolean {
    if (this.#state?.state === state.state && this.#state.detail === state.detail) return false
    this.#state = state
    this.#tell(state)
    return true
  }
}
