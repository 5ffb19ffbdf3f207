/** A folder tree shaped like `/dev` and `/sys`, with devices that can be plugged in and pulled out: what discovery reads. */
import { mkdir, rm, rmdir, symlink, writeFile } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'

export interface UsbIdentity {
  vid: string
  pid: string
  manufacturer?: string
  product?: string
  serial?: string
}

export interface FakeMachine {
  roots: { dev: string; sys: string }
  /** A USB serial adapter: `node` like `ttyUSB0`. `target`: what the node leads to (a pty). Returns how to pull it out. */
  plugSerial(node: string, usb: UsbIdentity, more?: { target?: string; byId?: boolean; byPath?: boolean }): Promise<() => Promise<void>>
  /** A built-in UART; `type` 0 is one that the kernel lists without there being any. */
  addUart(node: string, type: number): Promise<void>
  /** `byId`: whether the project's udev rule is installed. */
  plugPrinter(node: string, usb: UsbIdentity, more?: { byId?: boolean }): Promise<() => Promise<void>>
  plugKeyboard(node: string, usb: UsbIdentity): Promise<() => Promise<void>>
}

export async function fakeMachine(root: string): Promise<FakeMachine> {
  const roots = { dev: join(root, 'dev'), sys: join(root, 'sys') }
  await mkdir(roots.dev, { recursive: true })
  await mkdir(join(roots.sys, 'class/tty/console'), { recursive: true })
  await writeFile(join(roots.sys, 'class/tty/console/active'), 'tty1 ttyAMA0\n')
  let bus = 0

  const link = async (path: string, target: string): Promise<void> => {
    await mkdir(dirname(path), { recursive: true })
    await symlink(relative(dirname(path), target), path)
  }
  /** As udev does: a folder goes with the last link in it. */
  const unlink = async (path: string): Promise<void> => {
    await rm(path)
    await rmdir(dirname(path)).catch(() => {})
  }
  const usbDevice = async (usb: UsbIdentity): Promise<string> => {
    bus += 1
    const folder = join(roots.sys, `devices/pci0000:00/usb1/1-${bus}`)
    await mkdir(join(folder, `1-${bus}:1.0`), { recursive: true })
    const files = { idVendor: usb.vid, idProduct: usb.pid, manufacturer: usb.manufacturer, product: usb.product, serial: usb.serial }
    for (const [name, value] of Object.entries(files)) if (value !== undefined) await writeFile(join(folder, name), `${value}\n`)
    return join(folder, `1-${bus}:1.0`)
  }
  const udevName = (usb: UsbIdentity): string =>
    ['usb', usb.manufacturer ?? usb.vid, usb.product ?? usb.pid, usb.serial].filter(Boolean).join('_').replaceAll(' ', '_')

  return {
    roots,
    async plugSerial(node, usb, { target, byId = true, byPath = true } = {}) {
      const port = join(await usbDevice(usb), node)
      await mkdir(join(port, 'tty', node), { recursive: true })
      await link(join(roots.sys, 'class/tty', node), join(port, 'tty', node))
      await symlink(relative(join(port, 'tty', node), port), join(port, 'tty', node, 'device'))
      const path = join(roots.dev, node)
      if (target === undefined) await writeFile(path, '')
      else await symlink(target, path)
      const links = [
        ...(byId ? [join(roots.dev, 'serial/by-id', `${udevName(usb)}-if00-port0`)] : []),
        ...(byPath ? [join(roots.dev, 'serial/by-path', `pci-0000:00-usb-0:${bus}:1.0-port0`)] : []),
      ]
      for (const one of links) await link(one, path)
      return async () => {
        for (const one of links) await unlink(one)
        await rmdir(join(roots.dev, 'serial')).catch(() => {})
        await rm(path)
        await rm(join(roots.sys, 'class/tty', node))
      }
    },
    async addUart(node, type) {
      const port = join(roots.sys, 'devices/platform', `serial-${node}`)
      const entry = join(port, 'tty', node)
      await mkdir(entry, { recursive: true })
      await symlink(relative(entry, port), join(entry, 'device'))
      await writeFile(join(entry, 'type'), `${type}\n`)
      await link(join(roots.sys, 'class/tty', node), entry)
      await writeFile(join(roots.dev, node), '')
    },
    async plugPrinter(node, usb, { byId = false } = {}) {
      const face = await usbDevice(usb)
      const entry = join(face, 'usbmisc', node)
      await mkdir(entry, { recursive: true })
      await symlink(relative(entry, face), join(entry, 'device'))
      await link(join(roots.sys, 'class/usbmisc', node), entry)
      const path = join(roots.dev, 'usb', node)
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, '')
      const stable = join(roots.dev, 'usb/by-id', `${udevName(usb)}-lp`)
      if (byId) await link(stable, path)
      return async () => {
        if (byId) await unlink(stable)
        await unlink(path)
        await rm(join(roots.sys, 'class/usbmisc', node))
      }
    },
    async plugKeyboard(node, usb) {
      const input = join(await usbDevice(usb), 'input', `input${basename(node)}`)
      const entry = join(input, node)
      await mkdir(join(input, 'id'), { recursive: true })
      await mkdir(entry, { recursive: true })
      await writeFile(join(input, 'id/vendor'), `${usb.vid}\n`)
      await writeFile(join(input, 'id/product'), `${usb.pid}\n`)
      await writeFile(join(input, 'name'), `${[usb.manufacturer, usb.product].filter(Boolean).join(' ')}\n`)
      await symlink(relative(entry, input), join(entry, 'device'))
      await link(join(roots.sys, 'class/input', node), entry)
      const path = join(roots.dev, 'input', node)
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, '')
      const byId = join(roots.dev, 'input/by-id', `${udevName(usb)}-event-kbd`)
      await link(byId, path)
      return async () => {
        await unlink(byId)
        await unlink(path)
        await rm(join(roots.sys, 'class/input', node))
      }
    },
  }
}
