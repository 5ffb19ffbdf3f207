/** Keyboard-class scanners, read from their input device: key strokes become the bytes a serial scanner would have sent. */
import { constants, openSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { Clock } from '../../../daemon/contract/plugin.ts'
import { KeyReader } from '../protocol/hid-keys.ts'
import type { LayoutName } from '../protocol/hid-layout.ts'
import { DeviceFile, type PolledFile } from './device-file.ts'
import { asPortFault, type OpenPort, PortFault, type PortSink, type Transport } from './transport.ts'

export function hidTransport(path: string, layout: LayoutName): Transport {
  return {
    name: path,
    retry: { waitsMs: [1_000], jitter: 0 },
    cutMs: 1_000,
    writable: false,
    open: (sink, clock) => openHid(path, layout, sink, clock),
  }
}

async function openHid(path: string, layout: LayoutName, sink: PortSink, clock: Clock): Promise<OpenPort> {
  const stats = await stat(path).catch((error: unknown) => {
    throw asPortFault(error)
  })
  if (!stats.isCharacterDevice() && !stats.isFIFO()) throw new PortFault('not-a-port', `${path} is not an input device`)
  const file = await openPolled(path)
  const port = new DeviceFile(file, path, stats, throughKeys(layout, sink), clock)
  port.start()
  return port
}

function throughKeys(layout: LayoutName, sink: PortSink): PortSink {
  const keys = new KeyReader(layout)
  return {
    data(chunk) {
      const { text, dropped } = keys.push(chunk)
      if (dropped) sink.damaged()
      if (text !== '') sink.data(Buffer.from(text, 'utf8'))
    },
    damaged: () => sink.damaged(),
    lost: (fault) => sink.lost(fault),
  }
}

async function openPolled(path: string): Promise<PolledFile> {
  const { LinuxPortBinding } = await import('@serialport/bindings-cpp')
  let fd: number
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    throw asPortFault(error)
  }
  // Only its poller and its close are used; the line settings never reach a device.
  const none = { path, baudRate: 9_600, dataBits: 8, lock: false, stopBits: 1, parity: 'none' } as const
  return new LinuxPortBinding(fd, {
    ...none,
    rtscts: false,
    xon: false,
    xoff: false,
    xany: false,
    hupcl: false,
    vmin: 1,
    vtime: 0,
  }) as unknown as PolledFile
}
