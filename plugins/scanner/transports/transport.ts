/** The one seam where hardware enters: a byte source and sink, whatever it is in reality. */
import type { Clock } from '../../../daemon/contract/plugin.ts'
import type { RetryPolicy } from '../link.machine.ts'

/** Hears an open port. `chunk` is only good during the call. Nothing comes after `lost`. */
export interface PortSink {
  data(chunk: Buffer): void
  /** Input was lost on the way here. */
  damaged(): void
  lost(fault: PortFault): void
}

export interface OpenPort {
  /** Stops reading: the kernel and the device hold what comes. */
  pause(): void
  resume(): void
  /** Rejects with a `PortFault`. */
  write(bytes: Buffer): Promise<void>
  /** Reads what has arrived, waits shortly for a line that `unfinished` says is under way, then closes. Never rejects. */
  finish(unfinished: () => boolean): Promise<void>
}

export interface Transport {
  /** The port as configured, for logs. */
  readonly name: string
  readonly retry: RetryPolicy
  /** Silence, in ms, that means an unfinished line was cut, on this kind of line. */
  readonly cutMs: number
  /** What bytes written here reach: nothing, for a keyboard. */
  readonly writable: boolean
  /** Rejects with a `PortFault`. */
  open(sink: PortSink, clock: Clock, signal: AbortSignal): Promise<OpenPort>
}

/** Why a port is not open. `detail` is the word of the device state. */
export class PortFault extends Error {
  readonly detail: PortDetail

  constructor(detail: PortDetail, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.name = 'PortFault'
    this.detail = detail
  }
}

export type PortDetail =
  | 'unplugged'
  | 'port-busy'
  | 'permission-denied'
  | 'not-a-port'
  | 'unreachable'
  | 'refused'
  | 'disconnected'
  | 'io-error'

const DETAILS: Readonly<Record<string, PortDetail>> = {
  ENOENT: 'unplugged',
  ENXIO: 'unplugged',
  ENODEV: 'unplugged',
  EIO: 'unplugged',
  EBADF: 'unplugged',
  EACCES: 'permission-denied',
  EPERM: 'permission-denied',
  EBUSY: 'port-busy',
  ENOTTY: 'not-a-port',
  EISDIR: 'not-a-port',
  ECONNREFUSED: 'refused',
  ECONNRESET: 'disconnected',
  EPIPE: 'disconnected',
  ETIMEDOUT: 'unreachable',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EHOSTDOWN: 'unreachable',
  ENOTFOUND: 'unreachable',
  EAI_AGAIN: 'unreachable',
}

export function asPortFault(error: unknown): PortFault {
  if (error instanceof PortFault) return error
  const { code, message } = error as NodeJS.ErrnoException
  return new PortFault(DETAILS[code ?? ''] ?? 'io-error', code ?? message ?? 'unknown error', error)
}
