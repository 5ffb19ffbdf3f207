/** The seam where the printer's wire begins: nothing above it knows whether it is a socket, a serial port or a device file. */
import { Failure } from '../../../daemon/contract/errors.ts'
import type { Clock } from '../../../daemon/contract/plugin.ts'
import type { PrinterConfig } from '../config.ts'
import type { LineFault } from '../jobs/print-state.ts'

export interface Port {
  /** Bytes to write at a time: what a slow line takes in about a second, so that progress can be seen. */
  readonly chunk: number
  /** Resolves when the other side, or the kernel for it, has taken the bytes: a printer that is full makes this wait. Rejects once closed. */
  write(bytes: Uint8Array): Promise<void>
  /** Lets what was written go out, then closes; at most about 2 s. */
  close(): Promise<void>
}

export interface PortEvents {
  data(bytes: Uint8Array): void
  /** Once, and not after `close` was called. */
  closed(fault: LineFault): void
}

/** Rejects with a `PortFault`. */
export type OpenPort = (events: PortEvents, signal: AbortSignal) => Promise<Port>

export class PortFault extends Error {
  readonly fault: LineFault

  constructor(fault: LineFault, message: string, cause?: unknown) {
    super(message, { cause })
    this.fault = fault
  }
}

export type Address =
  | { kind: 'tcp'; host: string; port: number }
  | { kind: 'serial'; path: string }
  /** A character device that is read and written as it is. */
  | { kind: 'file'; path: string }

const DEFAULT_PORT = 9100

/** Throws `config-invalid` when it is none of the known forms. */
export function parseAddress(port: string): Address {
  const tcp = /^tcp:\/\/(?:\[([0-9a-fA-F:]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/.exec(port)
  if (tcp) {
    const number = tcp[3] === undefined ? DEFAULT_PORT : Number(tcp[3])
    if (number < 1 || number > 65535) throw new Failure('config-invalid', `${port}: the port must be 1 to 65535`)
    return { kind: 'tcp', host: tcp[1] ?? tcp[2] ?? '', port: number }
  }
  if (port.startsWith('file:/')) return { kind: 'file', path: port.slice('file:'.length) }
  // Everything in /dev/usb is a usblp node, or a stable link to one (systemd/70-shopwire.rules).
  if (/^\/dev\/(?:usb\/|lp\d+$)/.test(port)) return { kind: 'file', path: port }
  if (port.startsWith('/')) return { kind: 'serial', path: port }
  throw new Failure('config-invalid', `${port}: must be tcp://host:port, a serial port, /dev/usb/lp0 or file:/path`)
}

/** The native serial binding is loaded only where a serial printer is configured. */
export async function openerFor(config: PrinterConfig, clock: Clock): Promise<OpenPort> {
  const address = parseAddress(config.port)
  switch (address.kind) {
    case 'tcp': {
      const { openTcp } = await import('./tcp.ts')
      return openTcp(address.host, address.port, config.lostMs, clock)
    }
    case 'file': {
      const { openFile } = await import('./file.ts')
      return openFile(address.path, clock)
    }
    case 'serial': {
      const { openSerial } = await import('./serial.ts')
      return openSerial(address.path, config, clock)
    }
  }
}
