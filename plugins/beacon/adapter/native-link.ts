/** A real controller: a raw HCI socket of the kernel's, through the native addon that noble brings. */
import type BluetoothHciSocket from '../replaces/@abandonware/bluetooth-hci-socket.cjs'
import { type Kernel, LINUX } from './kernel.ts'
import { AdapterFault, type AdapterLink, type LinkEvents, type OpenLink } from './link.ts'

/** HCI_FILTER that lets nothing pass. */
const NOTHING = Buffer.alloc(16)

export class NativeLink implements AdapterLink {
  readonly name: string
  readonly #kernel: Kernel
  /** The plug it was last seen in. */
  #port: string | undefined

  constructor(name: string, kernel: Kernel = LINUX) {
    this.name = name
    this.#kernel = kernel
  }

  async open(on: LinkEvents): Promise<OpenLink> {
    const name = this.#find()
    const socket = this.#bound(name)
    if (!socket.isDevUp()) throw new AdapterFault('powered-off', `${name} is down; \`rfkill unblock bluetooth; hciconfig ${name} up\``)
    this.#port = this.#kernel.portOf(name)
    socket.removeAllListeners()
    socket.on('data', (packet: Buffer) => on.packet(packet))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // A write without the right to send this command fails with EPERM; the rest shows as silence or as a missing answer.
      if (error.code === 'EPERM') on.lost(denied(this.name))
    })
    socket.start()
    return {
      isUp: () => {
        const up = socket.isDevUp()
        if (!up) this.#letGo(name, socket)
        return up
      },
      setFilter: (filter) => socket.setFilter(filter),
      write: (packet) => socket.write(packet),
      close: () => {
        socket.stop()
        socket.removeAllListeners()
        // Without one an error would end the process.
        socket.on('error', () => {})
        // It stays bound: whatever came meanwhile would be taken for news at the next opening.
        socket.setFilter(NOTHING)
        this.#letGo(name, socket)
      },
    }
  }

  /** The adapter of the configured name; where that has gone, the one that is in its plug now: a stick that jolts may get another number. */
  #find(): string {
    const kernel = this.#kernel
    if (kernel.portOf(this.name) !== undefined) return this.name
    const kept = kernel.kept(this.name)
    if (kept) this.#letGo(this.name, kept)
    const port = this.#port
    const moved = port === undefined ? undefined : kernel.names().find((name) => kernel.portOf(name) === port)
    if (moved !== undefined) return moved
    throw new AdapterFault('no-adapter', `the kernel has no ${this.name}; see \`hciconfig -a\` for what there is`)
  }

  /**
   * As long as a socket is bound to an adapter that has gone, the kernel keeps its number, and the same stick comes back under the next
   * one (hci_release_dev, since Linux 5.14). Binding again lets go of it first (hci_sock_bind); that there is nothing to bind to is expected.
   */
  #letGo(name: string, socket: BluetoothHciSocket.NativeSocket): void {
    if (this.#kernel.portOf(name) !== undefined) return
    try {
      socket.bindRaw(numberOf(name))
    } catch {
      // ENODEV: it has let go.
    }
  }

  #bound(name: string): BluetoothHciSocket.NativeSocket {
    let socket: BluetoothHciSocket.NativeSocket
    try {
      socket = this.#kernel.socketFor(name)
    } catch (error) {
      // No Bluetooth in this kernel (EAFNOSUPPORT), or the addon is not there for this architecture.
      if (isDenied(error)) throw denied(name)
      throw new AdapterFault('no-adapter', `no Bluetooth socket: ${messageOf(error)}`)
    }
    try {
      socket.bindRaw(numberOf(name))
    } catch (error) {
      if (isDenied(error)) throw denied(name)
      // EALREADY: it is still bound to this adapter from before; a socket is bound to one number only, ever.
      if (!/EALREADY|already/i.test(messageOf(error))) throw new AdapterFault('no-adapter', `${name}: ${messageOf(error)}`)
    }
    return socket
  }
}

const numberOf = (name: string): number => Number(name.slice('hci'.length))

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
