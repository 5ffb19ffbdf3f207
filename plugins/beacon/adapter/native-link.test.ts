/** Sticks pulled, put back, jolted and exchanged, on a kernel that numbers and binds as Linux 5.14 and later do (net/bluetooth/hci_sock.c). */
import { EventEmitter } from 'node:events'
import t from 'tap'
import type { Kernel } from './kernel.ts'
import { NativeLink } from './native-link.ts'

/** An adapter as the kernel knows it from one plugging in to the pulling out, and as long after as a socket holds it. */
class Device {
  readonly written: Buffer[] = []
  readonly number: number
  readonly port: string
  gone = false
  holders = 0

  constructor(number: number, port: string) {
    this.number = number
    this.port = port
  }
}

class RawSocket extends EventEmitter {
  readonly #kernel: LinuxAlike
  #device: Device | undefined
  #asked = 0
  #filter = Buffer.alloc(16, 0xff)
  #queue: Buffer[] = []
  #reading = false

  constructor(kernel: LinuxAlike) {
    super()
    this.#kernel = kernel
  }

  bindRaw(number: number): number {
    // The addon notes the number before it binds.
    this.#asked = number
    if (this.#device?.gone) {
      this.#device.holders -= 1
      this.#device = undefined
    }
    if (this.#device) throw Object.assign(new Error('bind EALREADY'), { code: 'EALREADY' })
    const device = this.#kernel.devices.find((one) => !one.gone && one.number === number)
    if (!device) throw Object.assign(new Error('bind ENODEV'), { code: 'ENODEV' })
    device.holders += 1
    this.#device = device
    return number
  }

  isDevUp(): boolean {
    return this.#kernel.devices.some((one) => !one.gone && one.number === this.#asked)
  }

  setFilter(filter: Buffer): void {
    this.#filter = Buffer.from(filter)
  }

  start(): void {
    this.#reading = true
    for (const packet of this.#queue.splice(0)) this.emit('data', packet)
  }

  stop(): void {
    this.#reading = false
  }

  write(packet: Buffer): void {
    this.#device?.written.push(packet)
  }

  /** An event of the controller's. */
  arrives(packet: Buffer): void {
    if ((this.#filter.readUInt32LE(0) & (1 << 4)) === 0) return
    if (this.#reading) this.emit('data', packet)
    else this.#queue.push(packet)
  }
}

class LinuxAlike implements Kernel {
  devices: Device[] = []
  readonly #sockets = new Map<string, RawSocket>()

  plug(port: string): Device {
    let number = 0
    // A number is free again when the last socket has let go of it (hci_release_dev).
    while (this.devices.some((one) => one.number === number && (!one.gone || one.holders > 0))) number += 1
    const device = new Device(number, port)
    this.devices.push(device)
    return device
  }

  portOf(name: string): string | undefined {
    return this.devices.find((one) => !one.gone && `hci${one.number}` === name)?.port
  }

  names(): string[] {
    return this.devices.filter(({ gone }) => !gone).map(({ number }) => `hci${number}`)
  }

  socketFor(name: string): RawSocket {
    const socket = this.#sockets.get(name) ?? new RawSocket(this)
    this.#sockets.set(name, socket)
    return socket
  }

  kept(name: string): RawSocket | undefined {
    return this.#sockets.get(name)
  }
}

const RESET = Buffer.from('01030c00', 'hex')
const REPORT = Buffer.from('043e0c02010300010203040506000064', 'hex')
const deaf = { packet: () => {}, lost: () => {} }

t.test('a stick pulled and put back has its number again, and is used again', async (t) => {
  const kernel = new LinuxAlike()
  const stick = kernel.plug('usb1/1-1.3')
  const link = new NativeLink('hci0', kernel)
  const open = await link.open(deaf)
  t.ok(open.isUp())
  stick.gone = true
  t.notOk(open.isUp(), 'noticed within a second: noble asks so often')
  open.close()
  const again = kernel.plug('usb1/1-1.3')
  t.equal(again.number, 0)
  ;(await link.open(deaf)).write(RESET)
  t.same(again.written, [RESET])
})

t.test('a stick whose plug jolts comes back under another number before anybody looks: found in its plug', async (t) => {
  const kernel = new LinuxAlike()
  const stick = kernel.plug('usb1/1-1.3')
  const link = new NativeLink('hci0', kernel)
  const open = await link.open(deaf)
  stick.gone = true
  const again = kernel.plug('usb1/1-1.3')
  t.equal(again.number, 1, 'its old number is still held')
  open.close()
  await link.open(deaf).then((opened) => opened.write(RESET))
  t.same(again.written, [RESET])
  const other = new NativeLink('hci0', kernel)
  await t.rejects(other.open(deaf), { message: /no hci0/ }, 'a stick in a plug that was never ours is not taken')
})

t.test('HQ names another adapter: commands go to that one, not to the one before', async (t) => {
  const kernel = new LinuxAlike()
  const [builtIn, stick] = [kernel.plug('uart'), kernel.plug('usb1/1-1.3')]
  ;(await new NativeLink('hci0', kernel).open(deaf)).close()
  ;(await new NativeLink('hci1', kernel).open(deaf)).write(RESET)
  t.same([builtIn.written, stick.written], [[], [RESET]])
})

t.test('what arrived while it was closed is no news at the next opening', async (t) => {
  const kernel = new LinuxAlike()
  kernel.plug('uart')
  const link = new NativeLink('hci0', kernel)
  const heard: Buffer[] = []
  const on = { packet: (packet: Buffer) => void heard.push(packet), lost: () => {} }
  const open = await link.open(on)
  open.close()
  kernel.kept('hci0')?.arrives(REPORT)
  const next = await link.open(on)
  t.same(heard, [])
  next.setFilter(Buffer.alloc(16, 0xff))
  kernel.kept('hci0')?.arrives(REPORT)
  t.same(heard, [REPORT])
})
