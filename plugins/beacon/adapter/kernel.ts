/** What the kernel is asked: which adapters there are, in which plugs, and raw sockets to them. */
import { readdirSync, realpathSync } from 'node:fs'
import BluetoothHciSocket from '../replaces/@abandonware/bluetooth-hci-socket.cjs'

const ADAPTERS = '/sys/class/bluetooth'

export interface Kernel {
  /** Where the adapter hangs: the same for the same plug. Undefined: there is none of this name. */
  portOf(name: string): string | undefined
  names(): string[]
  /** One socket an adapter's name, for good. Throws the errno of socket(2). */
  socketFor(name: string): BluetoothHciSocket.NativeSocket
  /** The socket of this name, if there is one already. */
  kept(name: string): BluetoothHciSocket.NativeSocket | undefined
}

/** The addon's destructor frees memory that is not its own, so its sockets must never be collected. */
const sockets = new Map<string, BluetoothHciSocket.NativeSocket>()

export const LINUX: Kernel = {
  portOf(name) {
    try {
      return realpathSync(`${ADAPTERS}/${name}/device`)
    } catch {
      // A controller that hangs nowhere, a virtual one, is where it is.
      return readable(ADAPTERS).includes(name) ? name : undefined
    }
  },
  // `hci0:64` is a connection of hci0's.
  names: () => readable(ADAPTERS).filter((name) => /^hci\d+$/.test(name)),
  socketFor(name) {
    const socket = sockets.get(name) ?? new (BluetoothHciSocket.loadNative())()
    sockets.set(name, socket)
    return socket
  },
  kept: (name) => sockets.get(name),
}

function readable(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
