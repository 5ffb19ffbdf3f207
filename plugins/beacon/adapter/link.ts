/** The lowest seam: packets to and from one Bluetooth controller, real or simulated. */
import { NativeLink } from './native-link.ts'
import { SimulatedLink } from './simulated-link.ts'

/** Words of the device state; each has its own mend in the README. */
export type AdapterDetail =
  | 'no-adapter'
  | 'powered-off'
  | 'permission-denied'
  | 'unsupported'
  | 'adapter-silent'
  | 'scan-refused'
  | 'unplugged'

/** Why an adapter cannot be used. */
export class AdapterFault extends Error {
  readonly detail: AdapterDetail

  constructor(detail: AdapterDetail, message: string) {
    super(message)
    this.detail = detail
  }
}

export interface LinkEvents {
  /** One HCI packet with its H4 type byte; whole only if the controller is sound. */
  packet(packet: Buffer): void
  lost(fault: AdapterFault): void
}

export interface AdapterLink {
  /** As in the config. */
  readonly name: string
  /** Rejects with an `AdapterFault`. */
  open(on: LinkEvents): Promise<OpenLink>
}

export interface OpenLink {
  /** False once it is powered down or gone. */
  isUp(): boolean
  /** HCI_FILTER of a raw HCI socket; a link without one ignores it. */
  setFilter(filter: Buffer): void
  write(packet: Buffer): void
  /** Nothing is told after it. */
  close(): void
}

/** `hci0`, or `sim://host:port` and `sim:///path/of/a.sock`: H4 over TCP or a unix socket, as other virtual controllers speak it, too. */
export function linkFor(adapter: string): AdapterLink {
  return adapter.startsWith('sim://') ? new SimulatedLink(adapter) : new NativeLink(adapter)
}
