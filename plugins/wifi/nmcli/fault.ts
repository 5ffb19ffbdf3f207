/** Why nmcli did not do what was asked, in our words. nmcli's own text goes nowhere: it may quote what it was given. */

export type FaultKind =
  /** There is no such program. */
  | 'no-nmcli'
  | 'no-networkmanager'
  /** It did not answer in time and was ended. */
  | 'nmcli-silent'
  /** It answered with something that is not its format. */
  | 'nmcli-garbled'
  /** polkit does not let this user. */
  | 'not-authorized'
  | 'wrong-password'
  | 'not-found'
  | 'no-address'
  | 'timeout'
  | 'refused'

export class NmcliFault extends Error {
  readonly kind: FaultKind

  constructor(kind: FaultKind, exit?: number) {
    super(exit === undefined ? kind : `${kind} (nmcli ended with ${exit})`)
    this.name = 'NmcliFault'
    this.kind = kind
  }
}

/** Exit codes of nmcli(1), "EXIT STATUS". */
const EXIT_TIMEOUT = 3
const EXIT_NOT_RUNNING = 8
const EXIT_NOT_THERE = 10

/** Texts of nmcli 1.42 and libnm (nm-client-utils.c, the reasons of a device state); the first that fits counts. */
const TEXTS: readonly [RegExp, FaultKind][] = [
  // Without a D-Bus at all it ends with 1, not 8.
  [/NetworkManager is not running|Could not create NMClient object/i, 'no-networkmanager'],
  [/not authorized|insufficient privileges|permission denied/i, 'not-authorized'],
  [/secrets were required|no secrets|802\.1X supplicant (disconnected|took too long|failed)|password/i, 'wrong-password'],
  [/network could not be found|no network with ssid|no suitable device|unknown connection|no such connection/i, 'not-found'],
  [/IP configuration|DHCP/i, 'no-address'],
]

export function faultOf(exit: number, text: string): NmcliFault {
  if (exit === EXIT_NOT_RUNNING) return new NmcliFault('no-networkmanager', exit)
  const kind = TEXTS.find(([pattern]) => pattern.test(text))?.[1]
  if (kind) return new NmcliFault(kind, exit)
  return new NmcliFault(exit === EXIT_TIMEOUT ? 'timeout' : exit === EXIT_NOT_THERE ? 'not-found' : 'refused', exit)
}
