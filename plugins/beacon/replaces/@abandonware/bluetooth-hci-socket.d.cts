import type { EventEmitter } from 'node:events'

declare namespace BluetoothHciSocket {
  /** The native class's surface. `bindRaw` throws the errno of bind(2), the constructor that of socket(2). */
  interface NativeSocket extends EventEmitter {
    bindRaw(device: number): number
    setFilter(filter: Buffer): void
    isDevUp(): boolean
    start(): void
    stop(): void
    write(packet: Buffer): void
  }
  function hand(socket: object): void
  function loadNative(): new () => NativeSocket
}
declare function BluetoothHciSocket(): object
export = BluetoothHciSocket
