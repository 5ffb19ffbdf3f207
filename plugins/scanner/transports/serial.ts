/** Serial ports and CDC-ACM, by a path that survives a reboot (`/dev/serial/by-id/…`, else `by-path`). */
import { stat } from 'node:fs/promises'
import type { Clock } from '../../../daemon/contract/plugin.ts'
import { DeviceFile, type PolledFile } from './device-file.ts'
import { asPortFault, type OpenPort, type PortDetail, PortFault, type PortSink, type Transport } from './transport.ts'

export interface SerialSettings {
  path: string
  baudRate: number
  dataBits: 7 | 8
  parity: 'none' | 'even' | 'odd'
  stopBits: 1 | 2
}

export function serialTransport(settings: SerialSettings): Transport {
  return {
    name: settings.path,
    // A cable is put back when someone puts it back: ask once a second, for ever.
    retry: { waitsMs: [1_000], jitter: 0 },
    cutMs: 1_000,
    writable: true,
    open: (sink, clock) => openSerial(settings, sink, clock),
  }
}

async function openSerial(settings: SerialSettings, sink: PortSink, clock: Clock): Promise<OpenPort> {
  const stats = await stat(settings.path).catch((error: unknown) => {
    throw asPortFault(error)
  })
  if (!stats.isCharacterDevice()) throw new PortFault('not-a-port', `${settings.path} is not a serial port`)
  // Loaded when the first serial port is opened: a shop with network scanners only never pays for the native addon.
  const { SerialPort } = await import('serialport')
  const file = (await SerialPort.binding.open(settings).catch((error: unknown) => {
    throw openFault(error)
  })) as unknown as PolledFile
  const port = new DeviceFile(file, settings.path, stats, sink, clock)
  port.start()
  return port
}

/** The binding gives strerror's text and no code. */
const TEXTS: readonly (readonly [RegExp, PortDetail])[] = [
  [/no such (file|device)/i, 'unplugged'],
  [/permission denied|not permitted/i, 'permission-denied'],
  [/busy|lock port|temporarily unavailable/i, 'port-busy'],
  [/inappropriate ioctl/i, 'not-a-port'],
  [/input\/output/i, 'unplugged'],
]

function openFault(error: unknown): PortFault {
  const message = error instanceof Error ? error.message : String(error)
  return new PortFault(TEXTS.find(([pattern]) => pattern.test(message))?.[1] ?? 'io-error', message, error)
}
