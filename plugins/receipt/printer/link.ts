/** The seam to the real printer: nothing above it knows whether it is a socket, a serial line or a device file. */
import { Failure } from '../../../daemon/contract/errors.ts'
import type { Clock } from '../../../daemon/contract/plugin.ts'
import type { SerialLine } from '../config.ts'

export interface PrinterLink {
  /** False: it is full; write no more until `drained`. */
  write(bytes: Buffer): boolean
  /** Lets what was written go out, then closes. Resolves when the line is free for others; rejects with a `LinkError` when it died with something on it. */
  end(): Promise<void>
  /** Closes now. */
  destroy(): void
}

export interface LinkEvents {
  data(bytes: Buffer): void
  drained(): void
  /** Once, unless `end` or `destroy` was called before. `failure` is absent where the printer closed in good order. */
  closed(failure?: Error): void
}

/** Rejects when there is nobody, as a `LinkError`. */
export type OpenLink = (events: LinkEvents, signal: AbortSignal) => Promise<PrinterLink>

export class LinkError extends Error {
  /** `busy`: somebody is there and takes no client now. */
  readonly why: 'busy' | 'unreachable' | 'unplugged'

  constructor(why: LinkError['why'], message: string) {
    super(message)
    this.why = why
  }
}

type Address = { kind: 'tcp'; host: string; port: number } | { kind: 'serial' | 'file'; path: string }

const DEFAULT_PORT = 9100

/** Throws `config-invalid` for a port out of range. */
export function parsePrinter(printer: string): Address {
  const tcp = /^tcp:\/\/(?:\[([0-9a-fA-F:]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/.exec(printer)
  if (tcp) return { kind: 'tcp', host: tcp[1] ?? tcp[2] ?? '', port: portNumber(printer, tcp[3]) }
  if (printer.startsWith('file:/')) return { kind: 'file', path: printer.slice('file:'.length) }
  // Everything in /dev/usb is a usblp node, or a stable link to one.
  return { kind: /^\/dev\/(?:usb\/|lp\d+$)/.test(printer) ? 'file' : 'serial', path: printer }
}

/** `host:port`, as in the config's `listen`. Throws `config-invalid` for a port out of range. */
export function parseListen(listen: string): { host: string; port: number } {
  const found = /^(?:\[([0-9a-fA-F:]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(listen)
  if (!found) throw new Failure('config-invalid', `listen: "${listen}" must be host:port, like 0.0.0.0:9100`)
  return { host: found[1] ?? found[2] ?? '', port: portNumber(listen, found[3], 0) }
}

function portNumber(whole: string, text: string | undefined, least = 1): number {
  const port = text === undefined ? DEFAULT_PORT : Number(text)
  if (port < least || port > 65535) throw new Failure('config-invalid', `"${whole}": the port must be 1 to 65535`)
  return port
}

/** The native serial binding is loaded only where a serial printer is configured. */
export async function linkTo(printer: string, line: SerialLine & { lostMs: number }, clock: Clock): Promise<OpenLink> {
  const address = parsePrinter(printer)
  switch (address.kind) {
    case 'tcp': {
      const { openTcp } = await import('./tcp.ts')
      return openTcp(address.host, address.port, line.lostMs, clock)
    }
    case 'file': {
      const { openFile } = await import('./file.ts')
      return openFile(address.path, clock)
    }
    case 'serial': {
      const { openSerial } = await import('./serial.ts')
      return openSerial(address.path, line, clock)
    }
  }
}
