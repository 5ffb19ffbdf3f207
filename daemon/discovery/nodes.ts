/** What is plugged in, as the kernel and udev show it: serial ports, USB printers, keyboard-class input devices. */
import { lstat, readdir, readFile, readlink, realpath } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import type { Roots } from './api.ts'
import type { Facts } from './match.ts'

export const SYSTEM_ROOTS: Roots = { dev: '/dev', sys: '/sys' }

/** Everything found now. What vanishes while it is being read is left out; a folder that is not there holds nothing. */
export async function readNodes(roots: Roots): Promise<Facts[]> {
  const groups = await Promise.all([serialPorts(roots), usbPrinters(roots), keyboards(roots)])
  return groups.flat()
}

/**
 * Serial ports by their stable name: `/dev/serial/by-id`, else by-path (some adapters have no serial number),
 * else the tty itself. Virtual consoles, pseudo-terminals, the system's own console and UARTs that the
 * kernel lists but did not find (`type` 0, PORT_UNKNOWN in linux/serial.h) are none.
 */
async function serialPorts({ dev, sys }: Roots): Promise<Facts[]> {
  const names = (await list(join(sys, 'class/tty'))).filter((name) => !/^(tty\d*|console|ptmx|pty.*|tty[p-za-e][0-9a-f])$/.test(name))
  if (names.length === 0) return []
  const [byId, byPath, consoles] = await Promise.all([
    links(join(dev, 'serial/by-id')),
    links(join(dev, 'serial/by-path')),
    text(join(sys, 'class/tty/console/active')),
  ])
  const found = await Promise.all(
    names.map(async (name): Promise<Facts | undefined> => {
      const node = join(dev, name)
      const entry = join(sys, 'class/tty', name)
      const device = await real(join(entry, 'device'))
      if (device === undefined || !(await exists(node))) return undefined
      if ((await text(join(entry, 'type'))) === '0' || consoles?.split(' ').includes(name)) return undefined
      const usb = await usbDevice(device, sys)
      const stable = [...(byId.get(name) ?? []), ...(byPath.get(name) ?? [])]
      return facts('serial', stable[0] ?? node, [...stable.slice(1), node, await real(node)], usb, name)
    }),
  )
  return found.filter((one) => one !== undefined)
}

/** `/dev/usb/lp*` of the kernel's usblp. The stable link of `70-shopwire.rules` is another name of it: not every system has that rule. */
async function usbPrinters({ dev, sys }: Roots): Promise<Facts[]> {
  const names = (await list(join(dev, 'usb'))).filter((name) => /^lp\d+$/.test(name))
  const byId = names.length === 0 ? new Map<string, string[]>() : await links(join(dev, 'usb/by-id'))
  return Promise.all(
    names.map(async (name) => {
      const node = join(dev, 'usb', name)
      const device = await real(join(sys, 'class/usbmisc', name, 'device'))
      const usb = device === undefined ? undefined : await usbDevice(device, sys)
      return facts('usb-printer', node, [...(byId.get(name) ?? []), await real(node)], usb, name)
    }),
  )
}

/** `/dev/input/by-id/*-event-kbd`, else by-path. `port` is what the config takes: `hid:` and the stable path. */
async function keyboards({ dev, sys }: Roots): Promise<Facts[]> {
  const [byId, byPath] = await Promise.all([links(join(dev, 'input/by-id')), links(join(dev, 'input/by-path'))])
  const names = [...new Set([...byId.keys(), ...byPath.keys()])].filter((name) =>
    [...(byId.get(name) ?? []), ...(byPath.get(name) ?? [])].some((path) => path.endsWith('-event-kbd')),
  )
  const found = await Promise.all(
    names.map(async (name): Promise<Facts | undefined> => {
      const node = join(dev, 'input', name)
      if (!(await exists(node))) return undefined
      const entry = join(sys, 'class/input', name, 'device')
      const [vendor, product, label] = await Promise.all([
        text(join(entry, 'id/vendor')),
        text(join(entry, 'id/product')),
        text(join(entry, 'name')),
      ])
      const stable = [...(byId.get(name) ?? []), ...(byPath.get(name) ?? [])].filter((path) => path.endsWith('-event-kbd'))
      const usb: UsbDevice | undefined = vendor && product ? { id: `${vendor}:${product}`.toLowerCase(), label: label ?? '' } : undefined
      return facts('hid', `hid:${stable[0] ?? node}`, [...stable.slice(1), node, await real(node)], usb, name)
    }),
  )
  return found.filter((one) => one !== undefined)
}

function facts(kind: Facts['kind'], port: string, aliases: (string | undefined)[], usb: UsbDevice | undefined, node: string): Facts {
  return {
    kind,
    port,
    label: usb?.label || node,
    aliases: [...new Set(aliases)].filter((alias) => alias !== undefined),
    ...(usb ? { usb: usb.id } : {}),
  }
}

interface UsbDevice {
  /** `vid:pid` */
  id: string
  /** Manufacturer and product as the device tells them. */
  label: string
}

/** Walks up from an interface to the device that carries it: the first folder with an `idVendor`. */
async function usbDevice(from: string, sys: string): Promise<UsbDevice | undefined> {
  const top = (await real(sys)) ?? sys
  for (let folder = from; folder.startsWith(top) && folder !== top; folder = dirname(folder)) {
    const vendor = await text(join(folder, 'idVendor'))
    if (vendor === undefined) continue
    const [product, maker, name] = await Promise.all(['idProduct', 'manufacturer', 'product'].map((file) => text(join(folder, file))))
    const words = maker && name?.toLowerCase().startsWith(maker.toLowerCase()) ? [name] : [maker, name]
    return { id: `${vendor}:${product ?? ''}`.toLowerCase(), label: words.filter(Boolean).join(' ') }
  }
  return undefined
}

/** Node name -> the links in `folder` that lead to it, in order. */
async function links(folder: string): Promise<Map<string, string[]>> {
  const targets = new Map<string, string[]>()
  for (const name of (await list(folder)).sort()) {
    const path = join(folder, name)
    const target = await readlink(path).catch(() => undefined)
    if (target === undefined) continue
    const node = basename(resolve(folder, target))
    targets.set(node, [...(targets.get(node) ?? []), path])
  }
  return targets
}

const list = (folder: string): Promise<string[]> => readdir(folder).catch(() => [])
const real = (path: string): Promise<string | undefined> => realpath(path).catch(() => undefined)
const exists = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  )
const text = (file: string): Promise<string | undefined> =>
  readFile(file, 'utf8').then(
    (content) => content.trim(),
    () => undefined,
  )
