/** The parts of noble that its own types leave out: the class behind its singleton, and its HCI side. */
declare module '@abandonware/noble/with-bindings.js' {
  import type { EventEmitter } from 'node:events'
  import type { Peripheral } from '@abandonware/noble'

  export interface Noble extends EventEmitter {
    /** Reading it starts the HCI side, synchronously, the first time. */
    readonly state: string
    startScanning(services: string[], allowDuplicates: boolean): void
    stopScanning(): void
    reset(): void
    on(event: 'discover', on: (peripheral: Peripheral) => void): this
    on(event: 'stateChange', on: (state: string) => void): this
    on(event: 'scanStart' | 'scanStop', on: () => void): this
    on(event: 'warning', on: (message: string) => void): this
    // Never pruned by noble itself.
    _peripherals: Record<string, unknown>
    _services: Record<string, unknown>
    _characteristics: Record<string, unknown>
    _descriptors: Record<string, unknown>
    _discoveredPeripheralUUids: Record<string, unknown>
  }
  export default function withBindings(bindings: object): Noble
}

declare module '@abandonware/noble/lib/hci-socket/bindings.js' {
  export default class NobleBindings {
    constructor(options: { extended?: boolean })
    _addresses: Record<string, unknown>
    _addresseTypes: Record<string, unknown>
    _connectable: Record<string, unknown>
    scannable: Record<string, unknown>
    _hci: { pollIsDevUp(): void }
    _gap: { _discoveries: Record<string, unknown> }
  }
}
