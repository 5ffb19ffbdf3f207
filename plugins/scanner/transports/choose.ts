import type { DeviceConfig } from '../config.ts'
import { hidTransport } from './hid.ts'
import { serialTransport } from './serial.ts'
import { tcpTransport } from './tcp.ts'
import type { Transport } from './transport.ts'

/** The transport that `port` names: `tcp://host:port`, `hid:/dev/input/…`, or a serial port's path. */
export function chooseTransport(config: DeviceConfig): Transport {
  if (config.port.startsWith('tcp://')) return tcpTransport(config.port)
  if (config.port.startsWith('hid:')) return hidTransport(config.port.slice('hid:'.length), config.layout)
  const { port: path, baudRate, dataBits, parity, stopBits } = config
  return serialTransport({ path, baudRate, dataBits, parity, stopBits })
}
