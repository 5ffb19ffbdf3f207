/** A real controller: a raw HCI socket of the kernel's, through the native addon that noble brings. */
import { existsSync } from 'node:fs'
import BluetoothHciSocket from '../replaces/@abandonware/bluetooth-hci-socket.cjs'
import { AdapterFault, type AdapterLink, type LinkEvents, type OpenLink } from './link.ts'

/**
 * One socket a process, for good: the addon's destructor frees memory that is not its own, so it must never be collected, and
 * a raw socket whose adapter is gone can be bound again (net/bluetooth/hci_sock.c, hci_sock_bind).
 */
let kept: BluetoothHciSocket.NativeSocket | undefined

export class NativeLink implements AdapterLink {
  readonly name: string

  constructor(name: string) {
    this.name = name
  }

  async open(on: LinkEvents): Promise<OpenLink> {
    const device = Number(this.name.slice('hci'.length))
    if (!existsSync(`/sys/class/bluetooth/${this.name}`))
      throw new AdapterFault('no-adapter', `the kernel has no ${this.name}; see \`hciconfig -a\` for what there is`)
    const socket = this.#bound(device)
    if (!socket.isDevUp())
      throw new AdapterFault('powered-off', `${this.name} is down; \`rfkill unblock bluetooth; hciconfig ${this.name} up\``)
    socket.removeAllListeners()
    socket.on('data', (packet: Buffer) => on.packet(packet))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // A write without the right to send this command fails with EPERM; the rest shows as silence or as a missing answer.
      if (error.code === 'EPERM') on.lost(denied(this.name))
    })
    socket.start()
    return {
      isUp: () => socket.isDevUp(),
      setFilter: (filter) => socket.setFilter(filter),
      write: (packet) => socket.write(packet),
      close: () => {
        socket.stop()
        socket.removeAllListeners()
        // Without one an error would end the process.
        socket.on('error', () => {})
      },
    }
  }

  #bound(device: number): BluetoothHciSocket.NativeSocket {
    try {
      kept ??= new (BluetoothHciSocket.loadNative())()
    } catch (error) {
      // No Bluetooth in this kernel (EAFNOSUPPORT), or the addon is not there for this architecture.
      if (isDenied(error)) throw denied(this.name)
      throw new AdapterFault('no-adapter', `no Bluetooth socket: ${messageOf(error)}`)
    }
    try {
      kept.bindRaw(device)
    } catch (error) {
      if (isDenied(error)) throw denied(this.name)
      // EALREADY: it is still bound to this adapter from before.
      if (!/EALREADY|already/i.test(messageOf(error))) throw new AdapterFault('no-adapter', `${this.name}: ${messageOf(error)}`)
    }
    return kept
  }
}

const isDenied = (error: unknown): boolean => /EPERM|EACCES|not permitted|denied/i.test(messageOf(error))

function denied(name: string): AdapterFault {
  return new AdapterFault(
    'permission-denied',
    `${name} needs the rights CAP_NET_RAW and CAP_NET_ADMIN: AmbientCapabilities=CAP_NET_RAW CAP_NET_ADMIN in the service's unit`,
  )
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return 'code' in error ? `${String(error.code)} ${error.message}` : error.message
}
