/** `ip -o monitor label …` as events. Pure. */
import type { Mac } from './api.ts'

export type KernelEvent =
  /** An address answers for a MAC: `REACHABLE` it did just now, `STALE` it did once. */
  | { kind: 'neighbour'; ip: string; device: string; mac: Mac; state: string }
  | { kind: 'failed'; ip: string; device: string }
  /** A bridge has learnt, or forgotten, behind which port a MAC is. */
  | { kind: 'port'; mac: Mac; port: string; gone: boolean }
  | { kind: 'route' }
  | { kind: 'link'; device: string }
  | { kind: 'address'; device: string }

const MAC = '(?:[0-9a-f]{2}:){5}[0-9a-f]{2}'
const NEIGHBOUR = new RegExp(`^(Deleted )?([0-9a-f.:]+) dev (\\S+)(?: lladdr (${MAC}))?.* ?\\b([A-Z]+)\\s*$`)
const PORT = new RegExp(`^(Deleted )?dev (\\S+) lladdr (${MAC}) `)

export function parseKernelEvent(line: string): KernelEvent | undefined {
  const label = /^\[([A-Z]+)\]/.exec(line)?.[1]
  const text = line.slice((label?.length ?? -2) + 2)
  switch (label) {
    case 'NEIGH':
      return neighbour(text)
    case 'ROUTE':
      return { kind: 'route' }
    case 'LINK': {
      const device = /^(?:Deleted )?\d+: ([^:@\s]+)/.exec(text)?.[1]
      return device === undefined ? undefined : { kind: 'link', device }
    }
    case 'ADDR': {
      const device = /^(?:Deleted )?\d+: (\S+)/.exec(text)?.[1]
      return device === undefined ? undefined : { kind: 'address', device }
    }
    default:
      return undefined
  }
}

function neighbour(text: string): KernelEvent | undefined {
  const found = NEIGHBOUR.exec(text)
  if (found) {
    const [, deleted, ip = '', device = '', mac, state = ''] = found
    if (state === 'FAILED') return deleted ? undefined : { kind: 'failed', ip, device }
    // An entry that is thrown away says nothing of the phone.
    return deleted || mac === undefined ? undefined : { kind: 'neighbour', ip, device, mac, state }
  }
  const [, deleted, port, mac] = PORT.exec(text) ?? []
  // Permanent is what the port itself has: one that is added is no guest.
  if (port === undefined || mac === undefined || /\bPERMANENT\s*$/.test(text)) return undefined
  return { kind: 'port', port, mac, gone: deleted !== undefined }
}
